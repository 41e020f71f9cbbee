"""A real service with two device processes on the CPU: answers, sharing, tasks, loading, and one that is killed."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.service.helpers import DIGITS, NPY, POINTS, events_in, images, npy, publish_small, running, sample_of
from tests.service.servers import WAIT, Server, alive, serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")

DEVICES = ("cpu:0", "cpu:1")
TOKEN = "a-token-of-the-test-of-several-devices"
HALF_POINT = {"image": [0.5, 0], "mask": [0, 1]}
ENDLESS = "model=points&steps=200000&method=nice"


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that tests of this file publish into: `digits` and `points`."""
    root = tmp_path_factory.mktemp("store")
    publish_small(root, "digits", DIGITS)
    publish_small(root, "points", POINTS)
    return root


@pytest.fixture(scope="module")
def server(own_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two api processes in front of two device processes, for all tests of this file."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "token").write_text(TOKEN)
    settings: dict[str, Any] = {"max_steps": 10**6, "drain_delay": 0, "admin_token_file": folder / "token"}
    with serving(own_store, folder / "log", devices="cpu,cpu", api_processes=2, **settings) as started:
        wait_until(lambda: settled(started))
        wait_until(lambda: len(started.children("service.api")) == 2)
        yield started


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def each(server: Server, name: str, **labels: str) -> list[float]:
    """A sample of both devices."""
    exposition = httpx.get(f"{server.address}/metrics", timeout=WAIT).text
    return [sample_of(exposition, name, device=device, **labels) for device in DEVICES]


def settled(server: Server) -> bool:
    """Whether both devices serve both models."""
    return each(server, "sluice_models_loaded") == [2, 2]


def administer(server: Server, name: str, verb: str) -> httpx.Response:
    address = f"/v2/repository/models/{name}/{verb}"
    return server.post(address, headers={"Authorization": f"Bearer {TOKEN}"})


def pid_of(server: Server, device: str) -> int:
    (found,) = (
        pid
        for pid in server.children("service.device")
        if Path(f"/proc/{pid}/cmdline").read_text().split("\0")[-2] == device
    )
    return found


def put(server: Server, name: str, query: str = ENDLESS, **body: Any) -> httpx.Response:
    return httpx.put(f"{server.address}/inpaint/{name}?{query}", json={**HALF_POINT, **body}, timeout=WAIT)


def on_task(server: Server, method: str, name: str, **options: Any) -> httpx.Response:
    """On a connection of its own, so that any api process may get it."""
    return httpx.request(method, f"{server.address}/inpaint/{name}", timeout=WAIT, **options)


def end_tasks(server: Server, *names: str) -> None:
    for name in names:
        on_task(server, "DELETE", name)
    wait_until(lambda: each(server, "sluice_queue_jobs") == [0, 0])


QUESTIONS: dict[str, dict[str, Any]] = {
    "/score?seed=3": {"content": npy(images(5)), "headers": NPY},
    "/score?model=points": {"json": {"items": [[0.5, 0.25], [3.0, -1.0]]}},
    "/sample?n=7&seed=11": {"headers": {"accept": "application/x-npy"}},
    "/sample?model=points&n=3&seed=1": {"headers": {"accept": "application/json"}},
    "/encode": {"content": npy(images(2)), "headers": {**NPY, "accept": "application/x-npy"}},
    "/decode?model=points": {"json": {"latents": [[0.1, 0.2]]}},
    "/inpaint?model=points&steps=20&seed=5&n=2": {"json": HALF_POINT, "headers": {"accept": "application/json"}},
}


@pytest.mark.anyio
async def test_either_device_gives_the_answers_of_one_device_alone(server: Server, own_store: Path) -> None:
    async with running(own_store, threads=1) as alone:
        expected = {path: await alone.http.post(path, **options) for path, options in QUESTIONS.items()}
    before = each(server, "sluice_item_ticks_total", kind="score", model="digits@1")
    for path, options in QUESTIONS.items():
        assert expected[path].status_code == 200, expected[path].text
        for _ in range(4):
            found = server.post(path, **options)
            assert (found.status_code, found.content) == (200, expected[path].content), path
    after = each(server, "sluice_item_ticks_total", kind="score", model="digits@1")
    assert all(more > less for less, more in zip(before, after, strict=True)), "both devices have answered"


def test_requests_of_many_clients_are_divided_and_each_gets_its_own_answer(
    server: Server, clients: ThreadPoolExecutor
) -> None:
    def scored() -> np.ndarray:
        return np.array(each(server, "sluice_item_ticks_total", kind="score", model="digits@1"))

    def likelihoods(pixels: np.ndarray) -> list[float]:
        answer = server.post("/score", content=npy(pixels), headers=NPY)
        return [item["log_likelihood"] for item in answer.json()["items"]]

    batches = [images(20, seed) for seed in range(24)]
    before = scored()
    found = list(clients.map(likelihoods, batches))
    assert (scored() - before).sum() == 24 * 20
    assert ((scored() - before) > 0.2 * 24 * 20).all(), "neither device was left out"
    assert found == list(map(likelihoods, batches))


def test_a_task_is_found_through_any_api_process(server: Server) -> None:
    names = [f"found-{number}" for number in range(4)]
    assert [put(server, name).status_code for name in names] == [202] * 4
    wait_until(lambda: sum(each(server, "sluice_queue_jobs")) == 4)
    assert each(server, "sluice_queue_jobs") == [2, 2], "each went to the device with less work"
    for name in names:
        assert {on_task(server, "GET", name).status_code for _ in range(4)} == {202}
        assert put(server, name).status_code == 202, "the same again changes nothing"
        assert put(server, name, image=[0.75, 0]).status_code == 409
    assert sum(each(server, "sluice_queue_jobs")) == 4
    assert on_task(server, "GET", "never-begun").status_code == 404
    assert on_task(server, "DELETE", "never-begun").status_code == 404
    for name in names:
        assert on_task(server, "DELETE", name).json()["state"] in ("stopping", "stopped")
    wait_until(lambda: all(on_task(server, "GET", name).status_code == 200 for name in names))
    end_tasks(server)


def test_a_task_that_many_clients_begin_at_the_same_time_runs_once(server: Server, clients: ThreadPoolExecutor) -> None:
    names = [f"raced-{number}" for number in range(3)]
    begun = list(clients.map(lambda name: put(server, name).status_code, names * 5))
    assert begun == [202] * 15
    wait_until(lambda: sum(each(server, "sluice_queue_jobs")) == 3)
    end_tasks(server, *names)


def test_the_events_of_a_task_come_from_the_device_that_holds_it(server: Server) -> None:
    for number in range(2):
        begun = server.post(
            "/inpaint?model=points&steps=300&seed=4", json=HALF_POINT, headers={"prefer": "respond-async"}
        )
        assert begun.status_code == 202
        name = begun.headers["location"].rpartition("/")[2]
        streamed = on_task(server, "GET", name, headers={"accept": "text/event-stream"})
        assert events_in(streamed.text)[-1][0] == "result", number
        assert on_task(server, "GET", name, headers={"accept": "application/json"}).json()["seed"] == 4


@contextmanager
def endless(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Connections that wait for inpaintings without an end, begun one after another so that they are divided evenly."""
    host, port = server.address.removeprefix("http://").split(":")
    body = json.dumps(HALF_POINT)
    request = f"POST /inpaint?{ENDLESS} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    before = sum(each(server, "sluice_queue_jobs"))
    with ExitStack() as connections:
        found = []
        for number in range(count):
            connection = connections.enter_context(socket.create_connection((host, int(port)), WAIT))
            connection.sendall(f"{request}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            found.append(connection)
            wait_until(lambda: sum(each(server, "sluice_queue_jobs")) == before + number + 1)  # noqa: B023
        yield found


def answered(connections: list[socket.socket]) -> list[socket.socket]:
    return select.select(connections, [], [], 0)[0]


def test_a_killed_device_costs_what_it_held_and_comes_back(server: Server) -> None:
    names = [f"kept-{number}" for number in range(6)]
    for name in names:
        put(server, name)
    wait_until(lambda: sum(each(server, "sluice_queue_jobs")) == 6)
    tasks = each(server, "sluice_queue_jobs")
    restarts = each(server, "sluice_device_restarts_total")
    dies, lives = pid_of(server, "cpu:1"), pid_of(server, "cpu:0")
    with endless(server, 4) as waiting:
        kept, lost = (int(now - before) for now, before in zip(each(server, "sluice_queue_jobs"), tasks, strict=True))
        assert kept
        assert lost

        os.kill(dies, signal.SIGKILL)
        wait_until(lambda: server.metric("sluice_device_up", device="cpu:1") == 0)
        assert (server.get("/health/live"), server.get("/health/ready")) == (200, 200)
        assert [server.post("/sample").status_code for _ in range(8)] == [200] * 8
        assert server.post("/sample?model=points").status_code == 200
        wait_until(lambda: len(answered(waiting)) == lost)
        for connection in answered(waiting):
            answer = connection.recv(10_000).decode()
            assert answer.startswith("HTTP/1.1 503"), answer
            assert "retry-after: " in answer.lower()

        wait_until(lambda: settled(server))
        assert server.metric("sluice_device_up", device="cpu:1") == 1
        assert each(server, "sluice_device_restarts_total") == [restarts[0], restarts[1] + 1]
        assert not alive(dies)
        assert pid_of(server, "cpu:0") == lives
        assert each(server, "sluice_queue_jobs") == [tasks[0] + kept, 0], "what the other device held goes on"
        found = [on_task(server, "GET", name).status_code for name in names]
        assert sorted(found) == [202] * int(tasks[0]) + [404] * int(tasks[1])
        before = each(server, "sluice_item_ticks_total", kind="sample", model="digits@1")
        assert [server.post("/sample").status_code for _ in range(4)] == [200] * 4
        after = each(server, "sluice_item_ticks_total", kind="sample", model="digits@1")
        assert after[1] > before[1], "the device that came back takes its part"
    end_tasks(server, *names)


def test_loading_and_unloading_reach_all_devices(server: Server, own_store: Path) -> None:
    publish_small(own_store, "points", POINTS, seed=1)
    assert administer(server, "points", "load").json() == {"model": "points@2"}
    labels = {"architecture": "nice", "prior": "logistic", "precision": "float32"}
    assert each(server, "sluice_model_info", model="points@2", **labels) == [1, 1]
    assert each(server, "sluice_model_info", model="points@1", **labels) == [0, 0]
    answers = [server.post("/sample?model=points&seed=1") for _ in range(4)]
    assert {answer.headers["x-sluice-model"] for answer in answers} == {"points@2"}
    assert len({answer.content for answer in answers}) == 1
    assert administer(server, "nobody", "load").status_code == 404
    assert administer(server, "points", "unload").status_code == 200
    assert each(server, "sluice_models_loaded") == [1, 1]
    assert {server.post("/sample?model=points").status_code for _ in range(4)} == {404}
    assert administer(server, "points", "unload").status_code == 404


def test_a_device_that_comes_back_serves_what_the_others_serve(server: Server, own_store: Path) -> None:
    # `points` is unloaded, and the store has got another version of `digits` that nobody was told to load.
    publish_small(own_store, "digits", DIGITS, seed=1)
    dies = pid_of(server, "cpu:0")
    os.kill(dies, signal.SIGKILL)
    labels = {"architecture": "nice", "prior": "logistic", "precision": "float32"}
    wait_until(lambda: each(server, "sluice_model_info", model="digits@2", **labels) == [1, 1])
    wait_until(lambda: each(server, "sluice_models_loaded") == [1, 1])
    assert {server.post("/sample?model=points").status_code for _ in range(4)} == {404}
    assert {server.post("/sample").headers["x-sluice-model"] for _ in range(4)} == {"digits@2"}
    assert administer(server, "points", "load").status_code == 200
    assert settled(server)


def test_the_log_tells_the_devices_apart(server: Server) -> None:
    log = server.log.read_text()
    assert " supervisor: computing on cpu, cpu" in log
    for device in DEVICES:
        assert f" device {device}: loaded digits@1 on cpu" in log
    assert re.search(r" supervisor: the device process cpu:[01] has died \(signal 9\); it is started again", log)


@pytest.mark.anyio
async def test_an_application_alone_starts_a_process_for_each_device(
    store: Path,
) -> None:
    app = create_app(Settings(store=store, devices="cpu,cpu"))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://sluice", timeout=WAIT) as http,
    ):
        fleet = app.state.service.device
        for client in fleet.clients:
            await client.until(lambda client: not client.catalogue.starting)
        text = (await http.get("/metrics")).text
        for device in DEVICES:
            assert f'sluice_device_up{{device="{device}"}} 1.0' in text
            assert f'sluice_device_threads_bound{{device="{device}"}} 1.0' in text
        answers = {(await http.post("/sample?seed=1")).content for _ in range(4)}
        assert len(answers) == 1
    assert fleet.failed
