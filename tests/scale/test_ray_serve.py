"""The service on Ray Serve: two replicas behind one proxy, which are killed, replaced and multiplied under load."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.settings import Settings
from tests.scale.markers import LONG
from tests.scale.ray_cluster import RayCluster, ray_cluster
from tests.service.helpers import DIGITS, EVENTS, POINTS, assert_problem, events_in, images, multipart, publish_small
from tests.service.servers import wait_until

pytest.importorskip("ray.serve", reason="Ray Serve comes with the extra ray")
pytestmark = [LONG, pytest.mark.anyio, pytest.mark.timeout(600)]

TOKEN = "0123456789abcdef" * 2
ADMIN = {"authorization": f"Bearer {TOKEN}"}
JSON = {"accept": "application/json"}
SCORE = {"items": [[[0] * 8] * 8]}


@dataclass
class OnRay:
    """Two replicas with the default settings, in a cluster that other deployments may take over."""

    cluster: RayCluster
    settings: Settings
    store: Path

    def restore(self) -> None:
        self.cluster.deploy(self.settings)
        wait_until(lambda: len(self.replicas()) == 2, 120)

    def metrics(self) -> list[Any]:
        text = httpx.get(f"{self.cluster.url}/metrics", timeout=60).text
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def replicas(self) -> set[str]:
        """Those that tell metrics."""
        return {sample.labels["replica"] for sample in self.metrics() if sample.name == "sluice_ready"}

    def answered(self, route: str) -> Counter[str]:
        """Answers with 200 to requests of a route, by replica."""
        found = Counter[str]()
        for sample in self.metrics():
            if sample.name == "sluice_requests_total" and sample.labels["route"] == route:
                found[sample.labels["replica"]] += int(sample.value) if sample.labels["status"] == "200" else 0
        return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as started:
        yield started


@pytest.fixture(scope="module")
def service(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> OnRay:
    store = tmp_path_factory.mktemp("ray-store")
    publish_small(store, "digits", DIGITS)
    publish_small(store, "points", POINTS)
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(TOKEN)
    settings = Settings(store=store, device="cpu", threads=1, admin_token_file=token, max_steps=10**6)
    cluster.deploy(settings)
    return OnRay(cluster, settings, store)


@pytest.fixture
async def http(service: OnRay) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.cluster.url, timeout=120) as client:
        yield client


@dataclass
class Load:
    """What came of requests that are sent all the while."""

    statuses: Counter[int] = field(default_factory=Counter)
    failed: list[tuple[float, str]] = field(default_factory=list)
    """When each failed request began, and what came."""


@asynccontextmanager
async def load(http: httpx.AsyncClient, clients: int, send: Callable[[int], Any] | None = None) -> AsyncIterator[Load]:
    """So many clients, each of which sends the next request once the last is answered."""
    found, over = Load(), asyncio.Event()

    async def client(number: int) -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                answer = await (send(number) if send is not None else http.post("/score", json=SCORE))
            except httpx.TransportError as error:
                found.failed.append((began, repr(error)))
                continue
            found.statuses[answer.status_code] += 1
            if answer.status_code != 200:
                found.failed.append((began, f"{answer.status_code} {answer.text[:200]}"))

    running = [asyncio.create_task(client(number)) for number in range(clients)]
    try:
        yield found
    finally:
        over.set()
        await asyncio.gather(*running)


async def test_the_same_seed_gives_the_same_picture_from_either_replica(
    service: OnRay, http: httpx.AsyncClient
) -> None:
    before = service.answered("/sample")
    answers = await asyncio.gather(*(http.post("/sample?n=16&seed=7") for _ in range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    spread = service.answered("/sample") - before
    assert len(spread) == 2, f"all went to one replica: {spread}"


async def test_a_task_is_found_followed_and_stopped_through_any_replica(
    service: OnRay, http: httpx.AsyncClient
) -> None:
    before = service.answered("/inpaint/{id}")
    begun = await http.post("/inpaint?steps=60&seed=3", headers={"prefer": "respond-async"}, **multipart(images(1)[0]))
    location = begun.headers["location"]
    while (await http.get(location, headers=JSON)).status_code == 202:
        await asyncio.sleep(0.05)
    found = await asyncio.gather(*(http.get(location, headers=JSON) for _ in range(16)))
    assert {answer.status_code for answer in found} == {200}
    assert len({answer.content for answer in found}) == 1
    followed = await asyncio.gather(*(http.get(location, headers=EVENTS) for _ in range(8)))
    assert all(events_in(answer.text)[-1] == ("result", found[0].json()) for answer in followed)
    assert len(service.answered("/inpaint/{id}") - before) == 2

    endless = "steps=100000&method=nice&seed=1"
    begun = await http.put(f"/inpaint/endless?{endless}", **multipart(images(1)[0]))
    assert begun.status_code == 202, begun.text
    following = [asyncio.create_task(http.get("/inpaint/endless", headers=EVENTS)) for _ in range(6)]
    repeated = await asyncio.gather(
        *(http.put(f"/inpaint/endless?{endless}", **multipart(images(1)[0])) for _ in range(6))
    )
    assert {answer.status_code for answer in repeated} == {202}, "the same again changes nothing"
    assert_problem(await http.put("/inpaint/endless?steps=3", **multipart(images(1)[0])), 409, "id")
    while (await http.get("/inpaint/endless")).json()["step"] == 0:
        await asyncio.sleep(0.05)
    assert (await http.delete("/inpaint/endless")).json()["state"] in ("stopping", "stopped")
    for answer in await asyncio.gather(*following):
        told = events_in(answer.text)
        assert told[-1][0] == "result"
        assert told[-1][1]["state"] == "stopped"
        assert {name for name, _ in told[:-1]} == {"progress"}
    assert_problem(await http.get("/inpaint/unknown"), 404, "id")


async def test_metrics_are_those_of_every_replica(service: OnRay) -> None:
    told = service.metrics()
    assert len(service.replicas()) == 2
    assert all("replica" in sample.labels for sample in told)
    for name in ("sluice_requests_total", "sluice_queue_item_ticks", "sluice_device_up"):
        assert {sample.labels["replica"] for sample in told if sample.name == name} == service.replicas()


async def test_a_full_queue_is_429_and_no_error_of_rays(service: OnRay, http: httpx.AsyncClient) -> None:
    service.cluster.deploy(service.settings.model_copy(update={"queue_item_ticks": 40_000}))
    try:
        body = multipart(images(1)[0])
        answers = await asyncio.gather(
            *(http.post("/inpaint?steps=15000&method=nice&seed=1", headers=JSON, **body) for _ in range(24))
        )
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() <= {200, 429, 504}, statuses
        assert statuses[429] >= 24 - 2 * 3, "each replica holds two, and a third that began meanwhile"
        for answer in answers:
            if answer.status_code == 429:
                assert_problem(answer, 429)
                assert int(answer.headers["retry-after"]) >= 1
    finally:
        service.restore()


async def test_a_model_is_replaced_on_every_replica_under_load(service: OnRay, http: httpx.AsyncClient) -> None:
    async with load(http, 6) as found:
        for version in (2, 3):
            publish_small(service.store, "digits", DIGITS, seed=version)
            answer = await http.post("/v2/repository/models/digits/load", headers=ADMIN)
            assert answer.status_code == 200, answer.text
            models = await asyncio.gather(*(http.post("/score", json=SCORE) for _ in range(16)))
            assert {answer.json()["model"] for answer in models} == {f"digits@{version}"}
    assert found.failed == []
    assert found.statuses[200] > 20


async def test_replicas_are_replaced_under_load_without_a_failed_request(
    service: OnRay, http: httpx.AsyncClient
) -> None:
    before = service.replicas()
    async with load(http, 6) as found:
        changed = service.settings.model_copy(update={"max_n": 500})
        await asyncio.to_thread(service.cluster.deploy, changed)
        replaced = service.replicas()
        assert_problem(await http.post("/sample?n=501"), 422, "n")
    assert found.failed == []
    assert found.statuses[200] > 20
    assert not before & replaced
    service.restore()


async def test_a_killed_replica_costs_only_the_requests_that_it_held(service: OnRay, http: httpx.AsyncClient) -> None:
    before = service.replicas()
    pid = min(child for child in _descendants(os.getpid()) if "ServeReplica" in _title(child))
    children = _descendants(pid)
    assert children, "its device process"
    clients = 6
    async with load(http, clients, lambda _: http.post("/sample?n=64&seed=1", headers=JSON)) as found:
        await asyncio.sleep(2)
        assert found.failed == []
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        await asyncio.sleep(3)
        async with asyncio.timeout(240):
            while len(now := await asyncio.to_thread(service.replicas)) < 2 or now == before:
                await asyncio.sleep(0.5)
    assert len(now & before) == 1
    assert len(found.failed) <= clients
    late = [what for began, what in found.failed if began > killed]
    assert late == [], "requests that began after the kill"
    assert found.statuses[200] > 20
    for child in children:
        wait_until(lambda child=child: not Path(f"/proc/{child}").exists(), 20)  # type: ignore[misc]


async def test_there_are_more_replicas_while_work_waits(service: OnRay, http: httpx.AsyncClient) -> None:
    scaling = {
        "min_replicas": 1,
        "max_replicas": 2,
        "target_ongoing_requests": 1000,  # so that only the queue counts
        "metrics_interval_s": 0.5,
        "look_back_period_s": 2,
        "upscale_delay_s": 1,
        "downscale_delay_s": 3,
        "policy": {"policy_function": "service.ray_serve.scaling:QueueLength", "policy_kwargs": {"seconds": 0.5}},
    }
    service.cluster.delete()
    service.cluster.deploy(service.settings, num_replicas=None, autoscaling_config=scaling)
    try:
        assert len(service.replicas()) == 1
        body = multipart(images(1)[0])
        begun = [
            (await http.post("/inpaint?steps=300000&method=nice", headers={"prefer": "respond-async"}, **body))
            for _ in range(3)
        ]
        wait_until(lambda: len(service.replicas()) == 2, 120)
        for answer in begun:
            await http.delete(answer.headers["location"])
        wait_until(lambda: len(service.replicas()) == 1, 120)
    finally:
        service.restore()


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _descendants(pid: int) -> set[int]:
    found = set[int]()
    with suppress(OSError):  # it ended meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= {int(child)} | _descendants(int(child))
    return found
