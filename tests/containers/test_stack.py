"""The compose file in operation: what a user does with it, and what Prometheus and Grafana make of that."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.containers.stack import CLIENT_KEY, ROOT, Stack, eventually, run

DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/sluice.json").read_text())
EXPRESSIONS = sorted({target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])})
SECRETS = {"sluice": "/secrets/admin/token", "grafana": "/secrets/grafana/password"}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.base, timeout=90, headers=stack.key()) as client:
        yield client


@pytest.fixture(scope="module")
def model(client: httpx.Client) -> str:
    """A model of pictures that ships in the image, of the architecture that climbs fastest on a CPU."""
    models = client.get("/models").json()["models"]
    return str(next(m["name"] for m in models if len(m["item_shape"]) == 2 and m["architecture"] == "nice"))


def picture(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def drawn(client: httpx.Client, model: str, n: int = 1) -> np.ndarray:
    """Samples (n, H, W) uint8."""
    answer = client.post("/sample", params={"model": model, "n": n}, headers={"Accept": "application/x-npy"})
    assert answer.status_code == 200, answer.text
    array: np.ndarray = np.load(io.BytesIO(answer.content))
    return array


def inpaint(client: httpx.Client, model: str, image: np.ndarray, **options: Any) -> httpx.Response:
    """Fill in the lower half of one picture (H, W)."""
    mask = np.zeros_like(image)
    mask[len(image) // 2 :] = 255
    files = {"image": ("image.png", picture(image), "image/png"), "mask": ("mask.png", picture(mask), "image/png")}
    headers = options.pop("headers", {})
    return client.post("/inpaint", params={"model": model, **options}, files=files, headers=headers)


def test_the_shipped_models_are_served_from_the_volume(client: httpx.Client, stack: Stack) -> None:
    assert client.get("/health/ready").status_code == 200
    models = client.get("/models").json()
    shipped = {path.name for path in (ROOT / "model_store/models").iterdir() if path.is_dir()}
    assert {model["name"] for model in models["models"]} == shipped
    assert models["refused"] == []


def test_it_samples_scores_and_inpaints_through_the_published_port(client: httpx.Client, model: str) -> None:
    grid = client.post("/sample", params={"model": model, "n": 16, "seed": 1})
    assert Image.open(io.BytesIO(grid.content)).format == "PNG"

    image = drawn(client, model)[0]
    score = client.post(
        "/score", params={"model": model}, content=picture(image), headers={"Content-Type": "image/png"}
    )
    assert np.isfinite(score.json()["items"][0]["log_likelihood"])

    filled = inpaint(client, model, image, steps=20)
    assert filled.status_code == 200, filled.text
    half = len(image) // 2
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(filled.content)))[:half], image[:half])


def test_a_model_trained_into_the_volume_serves_on_request(client: httpx.Client, stack: Stack) -> None:
    assert client.get("/models/fresh").status_code == 404
    stack.compose("run", "--rm", "-T", "trainer", "moons-nice", "--epochs", "1", "--limit", "2000", "--name", "fresh")
    assert client.get("/models/fresh").status_code == 404

    address = f"{stack.base}/v2/repository/models/fresh/load"
    assert client.post(address).status_code == 403  # the client's key is not good for it
    loaded = httpx.post(address, headers={"Authorization": f"Bearer {stack.admin_token()}"}, timeout=90)
    assert loaded.status_code == 200, loaded.text

    score = client.post("/score", params={"model": "fresh"}, json={"items": [[0.5, 0.25]]})
    assert score.json()["model"] == "fresh@1"


@pytest.mark.parametrize("service", ["sluice", "prometheus", "grafana"])
def test_ports_are_published_on_this_machine_only(stack: Stack, service: str) -> None:
    ports = json.loads(run("docker", "inspect", stack.container(service)))[0]["NetworkSettings"]["Ports"]
    bound = [binding for bindings in ports.values() for binding in bindings or []]
    assert bound
    assert {binding["HostIp"] for binding in bound} == {"127.0.0.1"}


@pytest.mark.parametrize("service", ["sluice", "prometheus", "grafana", "secrets"])
def test_a_container_is_confined(stack: Stack, service: str) -> None:
    host = json.loads(run("docker", "inspect", stack.container(service)))[0]["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0


def test_process_number_1_is_an_init_and_a_cpu_quota_can_be_asked_for(stack: Stack) -> None:
    assert json.loads(run("docker", "inspect", stack.container("sluice")))[0]["HostConfig"]["Init"] is True
    config = run("docker", "compose", "config", "--format", "json", env={"SLUICE_CPUS": "1.5"})
    assert float(json.loads(config)["services"]["sluice"]["cpus"]) == 1.5


def test_the_service_is_not_root_and_cannot_write(stack: Stack) -> None:
    code = """
import errno, os
print(os.getuid(), os.getgid())
for folder in ("/", "/opt/sluice", "/var/lib/sluice", os.environ["SLUICE_STORE"], "/secrets/admin", "/secrets/keys"):
    try:
        open(os.path.join(folder, "written"), "w")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
    assert stack.execute("sluice", "python3", "-c", code).split() == ["10001", "10001"] + ["EROFS"] * 6


def test_secrets_are_made_once_and_each_is_its_owners(stack: Stack) -> None:
    made = {service: stack.execute(service, "cat", path) for service, path in SECRETS.items()}
    assert len(set(made.values())) == 2
    assert all(len(secret) >= 32 for secret in made.values())
    stack.compose("run", "--rm", "-T", "secrets")
    assert made == {service: stack.execute(service, "cat", path) for service, path in SECRETS.items()}
    with pytest.raises(AssertionError, match="No such file"):
        stack.execute("grafana", "cat", SECRETS["sluice"])


def test_who_shows_no_key_is_not_served_and_keys_are_made_and_revoked(stack: Stack) -> None:
    def status(key: str | None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.get(f"{stack.base}/models", headers=headers, timeout=30).status_code

    assert httpx.get(f"{stack.base}/health/ready").status_code == 200
    assert status(None) == status("sluice_0_0") == 401
    made = stack.compose("run", "--rm", "-T", "--no-deps", "keys", "create", "laptop", "--scope", "read").strip()

    def taken() -> None:
        assert status(made) == 200

    eventually(taken, 5)
    stack.compose("run", "--rm", "-T", "--no-deps", "keys", "revoke", "laptop")

    def refused() -> None:
        assert status(made) == 401

    eventually(refused, 5)
    assert httpx.get(f"{stack.base}/metrics", headers=stack.key()).status_code == 403
    with pytest.raises(AssertionError, match="No such file"):
        stack.execute("sluice", "cat", CLIENT_KEY)


def test_prometheus_scrapes_the_service_and_takes_every_rule(stack: Stack) -> None:
    def look() -> None:
        assert [sample["value"][1] for sample in stack.query('up{job="sluice"}')] == ["1"]

    eventually(look)
    groups = httpx.get(f"{stack.prometheus}/api/v1/rules").json()["data"]["groups"]
    assert all(rule["health"] != "err" for group in groups for rule in group["rules"])
    assert sum(len(group["rules"]) for group in groups) > 0


def test_grafana_starts_with_the_source_and_the_dashboard(stack: Stack) -> None:
    administrator = ("admin", stack.execute("grafana", "cat", SECRETS["grafana"]))
    assert httpx.get(f"{stack.grafana}/api/health").json()["database"] == "ok"

    def look() -> None:
        found = httpx.get(f"{stack.grafana}/api/search", auth=administrator).json()
        assert "Sluice" in [board["title"] for board in found]

    eventually(look)


def test_nothing_is_alarming_in_a_healthy_stack(stack: Stack) -> None:
    firing = [sample["metric"]["alertname"] for sample in stack.query('ALERTS{alertstate="firing"}')]
    assert firing == []


def exercise(client: httpx.Client, model: str) -> None:
    """Traffic of every sort, a request that cannot be met in time and three that do not fit in the queue together."""
    images = drawn(client, model, 8)
    body = io.BytesIO()
    np.save(body, images)
    for address in ("/score", "/encode"):
        sent = client.post(
            address, params={"model": model}, content=body.getvalue(), headers={"Content-Type": "application/x-npy"}
        )
        assert sent.status_code == 200, sent.text
    assert inpaint(client, model, images[0], steps=20).status_code == 200

    def crowd(_: int) -> int:
        return inpaint(client, model, images[0], n=1024, steps=2000, headers={"X-Deadline-Ms": "2000"}).status_code

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert set(pool.map(crowd, range(3))) == {429, 504}


def test_every_query_of_the_dashboard_returns_data(stack: Stack, client: httpx.Client, model: str) -> None:
    asked = {expression: expression.replace("$__rate_interval", "1m") for expression in EXPRESSIONS}

    def look() -> None:
        exercise(client, model)
        silent = [one for one in asked if not any(np.isfinite(float(s["value"][1])) for s in stack.query(asked[one]))]
        assert not silent, f"no data for {silent}"

    assert len(asked) > 15
    eventually(look, 120)


def whole(answer: httpx.Response) -> bool:
    """A stream has its status before its end: only its last event says how it went."""
    streamed = answer.headers["Content-Type"].startswith("text/event-stream")
    return answer.status_code == 200 and (not streamed or "event: result" in answer.text)


def steps_of_seconds(seconds: float, stack: Stack, model: str) -> int:
    """As many steps of an inpainting as take about so long on this machine, when it is the only one."""
    with httpx.Client(base_url=stack.base, timeout=90, headers=stack.key()) as client:
        image = drawn(client, model)[0]

        def took() -> float:
            began = time.monotonic()
            assert inpaint(client, model, image, steps=100, n=4).status_code == 200
            return time.monotonic() - began

        fastest = min(took() for _ in range(3))  # the first one warms up, and the machine may have other work
        return min(max(round(100 * seconds / fastest), 100), 2000)


def test_it_stops_under_load_without_a_failed_request(stack: Stack, model: str) -> None:
    """Clients leave when readiness says so, as a load balancer would make them; whatever they sent is answered."""
    leave, closed = threading.Event(), threading.Event()
    steps = steps_of_seconds(5, stack, model)  # longer than the listeners stay open, far shorter than the deadline
    started = threading.Barrier(8)  # six clients, their balancer, and the test

    def load(worker: int) -> list[tuple[bool, bool]]:
        """Of each answer whether it was whole, and whether it came when nobody could connect any more."""
        answers = []
        with httpx.Client(base_url=stack.base, timeout=90, headers=stack.key()) as client:
            image = drawn(client, model)[0]
            kinds = (
                lambda: client.post("/score", params={"model": model}, files=[("files", ("a.png", picture(image)))]),
                lambda: inpaint(client, model, image, steps=steps, n=4),
                lambda: inpaint(client, model, image, steps=steps, headers={"Accept": "text/event-stream"}),
            )
            started.wait()
            while not leave.is_set():
                answers.append((whole(kinds[worker % 3]()), closed.is_set()))
        return answers

    def watch() -> None:
        started.wait()
        while httpx.get(f"{stack.base}/health/ready").status_code == 200:
            pass
        leave.set()
        with contextlib.suppress(httpx.TransportError):
            while True:
                httpx.get(f"{stack.base}/health/ready")
        closed.set()

    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        workers = [pool.submit(load, worker) for worker in range(6)]
        balancer = pool.submit(watch)
        try:
            started.wait()
            stack.compose("stop", "sluice")
        finally:
            leave.set()
        balancer.result()
        answers = [answer for worker in workers for answer in worker.result()]

    assert len(answers) >= 6
    assert all(complete for complete, _ in answers)
    assert any(late for _, late in answers)
    assert json.loads(run("docker", "inspect", stack.container("sluice")))[0]["State"]["ExitCode"] == 0


def test_what_was_trained_survives_a_new_container(stack: Stack) -> None:
    stack.compose("rm", "--force", "--stop", "sluice")
    stack.up("sluice")
    assert "fresh" in [
        model["name"] for model in httpx.get(f"{stack.base}/models", headers=stack.key()).json()["models"]
    ]
