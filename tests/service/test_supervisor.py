"""A real service: processes that die, hang and are started again, signals, and clients that leave."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.servers import WAIT, Server, alive, serving, started, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")

HALF_POINT = {"image": [0.5, 0], "mask": [0, 1]}
ENDLESS = "/inpaint?model=points&steps=200000&method=nice"


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One service with two api processes for all tests that leave it serving."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(store, log, max_steps=10**6, api_processes=2, drain_delay=0, deadline=7) as started:
        wait_until(lambda: len(started.children("service.api")) == 2)
        yield started


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def endless(server: Server, clients: ThreadPoolExecutor, count: int) -> list[Future[httpx.Response]]:
    """Inpaintings that do not end by themselves, once the device computes them."""
    futures = [clients.submit(lambda: server.post(ENDLESS, json=HALF_POINT)) for _ in range(count)]
    wait_until(lambda: server.metric("sluice_queue_jobs") == count)
    return futures


def test_a_client_that_hangs_up_frees_the_queue(server: Server) -> None:
    before = server.metric("sluice_requests_total", route="/inpaint", status="499")
    left = server.metric("sluice_cancelled_total", reason="client_left")
    with pytest.raises(httpx.ReadTimeout):
        server.post(ENDLESS, json=HALF_POINT, timeout=0.5)
    wait_until(lambda: server.metric("sluice_queue_item_ticks") == 0)
    wait_until(lambda: server.metric("sluice_requests_total", route="/inpaint", status="499") == before + 1)
    assert server.metric("sluice_cancelled_total", reason="client_left") == left + 1
    assert server.post("/sample").status_code == 200


def test_whichever_api_process_answers_tells_the_totals_of_all(server: Server, clients: ThreadPoolExecutor) -> None:
    def answered() -> float:
        return server.metric("sluice_requests_total", route="/sample", status="200")

    time.sleep(0.3)  # an api process writes down ten times a second what it has counted
    before = answered()
    answers = list(clients.map(lambda _: server.post("/sample"), range(24)))
    assert [answer.status_code for answer in answers] == [200] * 24
    wait_until(lambda: answered() == before + 24)
    assert set(clients.map(lambda _: answered(), range(24))) == {before + 24}


def test_an_api_process_that_is_killed_is_started_again_and_the_others_answer(
    server: Server, clients: ThreadPoolExecutor
) -> None:
    before = server.metric("sluice_requests_total", route="/health/ready", status="200")
    waiting = endless(server, clients, 8)
    dies, lives = sorted(server.children("service.api"))
    os.kill(dies, signal.SIGKILL)
    assert server.get("/health/ready") == 200
    assert server.post("/sample").status_code == 200
    wait_until(lambda: len(server.children("service.api") - {dies}) == 2)
    assert lives in server.children("service.api")
    assert server.metric("sluice_requests_total", route="/health/ready", status="200") >= before
    lost = [future for future in waiting if future.done()]
    wait_until(lambda: server.metric("sluice_queue_jobs") == 8 - len([f for f in waiting if f.done()]))
    for future in lost:
        assert isinstance(future.exception(), httpx.TransportError)
    for future in waiting:
        if future not in lost:
            assert future.result(WAIT).status_code == 504, "what the other process answers goes on"


def test_a_device_that_is_killed_is_started_again_and_nobody_hangs(server: Server, clients: ThreadPoolExecutor) -> None:
    waiting = endless(server, clients, 6)
    dies = server.device()
    os.kill(dies, signal.SIGKILL)
    for future in waiting:
        answer = future.result(WAIT)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"] == "application/problem+json"
    seen = {(server.get("/health/live"), server.get("/health/ready"), server.post("/sample").status_code)}
    assert seen == {(503, 503, 503)}
    wait_until(lambda: server.ready_everywhere(clients))
    assert server.get("/health/live") == 200
    assert server.device() != dies
    assert server.post("/sample").status_code == 200
    assert server.metric("sluice_queue_jobs") == 0


def test_a_device_that_dies_again_and_again_ends_the_service(store: Path, log: Path) -> None:
    with serving(store, log) as server:
        dead: set[int] = set()
        for _ in range(3):
            wait_until(lambda: server.children("service.device") - dead)
            (pid,) = server.children("service.device") - dead
            os.kill(pid, signal.SIGKILL)
            dead.add(pid)
        children = server.children("service.api")
        assert server.exit_code() == 1
        wait_until(lambda: not any(map(alive, children)))
    assert "3 times within 60 seconds" in log.read_text()
    assert "CRITICAL" in log.read_text()


def test_a_device_that_hangs_is_killed_and_started_again(store: Path, log: Path, clients: ThreadPoolExecutor) -> None:
    with serving(store, log, device_patience=2, max_steps=10**6) as server:
        hangs = server.device()
        waiting = endless(server, clients, 2)
        os.kill(hangs, signal.SIGSTOP)
        for future in waiting:
            assert future.result(WAIT).status_code == 503
        wait_until(lambda: server.ready() and server.device() != hangs)
        assert not alive(hangs)
        assert server.post("/sample").status_code == 200
        assert "it hangs" in log.read_text()


def test_sigterm_says_not_ready_finishes_everything_and_exits_0(store: Path, log: Path) -> None:
    with serving(store, log, drain_delay=0.7) as server:
        failures: list[str] = []
        answered = threading.Event()
        stop = threading.Event()

        def client(keep_alive: bool) -> None:
            with httpx.Client(timeout=WAIT) as http:
                while not stop.is_set():
                    headers = {} if keep_alive else {"connection": "close"}
                    answer = http.post(f"{server.address}/sample?n=4", headers=headers)
                    if answer.status_code != 200:
                        failures.append(answer.text)
                    answered.set()

        clients = [threading.Thread(target=client, args=(keep,)) for keep in (True, False)]
        for thread in clients:
            thread.start()
        assert answered.wait(WAIT)
        slow: list[int] = []

        def inpaint() -> None:
            slow.append(server.post("/inpaint?model=points&steps=2000", json=HALF_POINT).status_code)

        climbing = threading.Thread(target=inpaint)
        climbing.start()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.get("/health/ready") == 503)
        stop.set()  # a load balancer has seen it: nothing new comes
        for thread in (*clients, climbing):
            thread.join(WAIT)
        assert server.exit_code() == 0
        assert failures == []
        assert slow == [200]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_gives_up_what_is_in_flight_and_ends_without_an_abort(
    store: Path, log: Path, clients: ThreadPoolExecutor, number: signal.Signals
) -> None:
    with serving(store, log, drain_delay=0.2, max_steps=10**6) as server:
        (slow,) = endless(server, clients, 1)
        for _ in range(2):  # twice within a moment is once
            server.process.send_signal(number)
        time.sleep(1)
        assert server.process.poll() is None, "what is in flight is not over"
        server.process.send_signal(number)
        assert server.exit_code(15) == 0
        assert isinstance(slow.exception(WAIT), httpx.TransportError)


SLOW_LOADING = """
import sys, time
if "service.device" in sys.orig_argv:
    import model_store
    model_store.Store.load = lambda *_, **__: time.sleep(600)
"""


def test_sigterm_while_a_store_is_loading_exits_0_promptly(
    store: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_LOADING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with serving(store, log, ready=False, drain_delay=0) as server:
        wait_until(lambda: loading(server))
        server.process.send_signal(signal.SIGTERM)
        assert server.exit_code(20) == 0


def loading(server: Server) -> bool:
    """Whether the device has begun to load its models."""
    try:
        return bool(httpx.get(f"{server.address}/models", timeout=WAIT).json()["loading"])
    except httpx.TransportError:
        return False


def test_a_terminal_that_closes_cuts_no_request(store: Path, log: Path, clients: ThreadPoolExecutor) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored, and so by the service
    with serving(store, log, drain_delay=0.2) as server:
        signal.signal(signal.SIGHUP, before)
        wait_until(server.ready)
        slow = clients.submit(lambda: server.post("/inpaint?model=points&steps=2000", json=HALF_POINT))
        wait_until(lambda: server.metric("sluice_queue_jobs") == 1)
        server.process.send_signal(signal.SIGHUP)
        assert slow.result().status_code == 200
        assert server.exit_code() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_start_ends_the_service(store: Path, log: Path, number: signal.Signals) -> None:
    with serving(store, log, ready=False, drain_delay=0) as server:
        server.process.send_signal(number)
        assert server.exit_code(30) == 0


def test_a_taken_port_is_told_at_once_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = ["serve", "--store", str(tmp_path), "--port", str(taken.getsockname()[1])]
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "service", *command],
            capture_output=True,
            text=True,
            timeout=WAIT,
        )
        seconds = time.monotonic() - began
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "| torch\n" not in done.stderr, "nothing heavy was imported to find out"
    assert seconds < 20


@pytest.mark.parametrize("ready", [False, True])
def test_no_child_survives_a_supervisor_that_is_killed(store: Path, log: Path, ready: bool) -> None:
    with serving(store, log, ready=ready, api_processes=2) as server:

        def children() -> set[int]:
            return server.children("service.device") | server.children("service.api")

        wait_until(lambda: len(children()) == 3)
        found = children()
        server.process.kill()
        wait_until(lambda: not any(map(alive, found)), 30)


def test_an_application_alone_starts_its_own_device_and_starts_it_again(store: Path, log: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["uvicorn", "--factory", "service.api.app:create_app", "--port", str(port)]
    settings: dict[str, Any] = {"store": store}
    with started(command, log, **settings) as server:
        server.address = f"http://127.0.0.1:{port}"
        wait_until(server.ready)
        dies = server.device()
        os.kill(dies, signal.SIGKILL)
        wait_until(lambda: server.get("/health/live") == 503)
        wait_until(server.ready)
        device = server.device()
        assert device != dies
        assert server.post("/sample").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        server.exit_code()
        wait_until(lambda: not alive(device), 20)


def test_metrics_have_a_listener_of_their_own_where_a_port_is_named(store: Path, log: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(store, log, ready=False, metrics_port=port, access_log=True, drain_delay=0) as server:
        own = f"http://127.0.0.1:{port}"
        wait_until(lambda: server.get("/health/ready") == 200)
        assert "sluice_ready 1.0" in httpx.get(f"{own}/metrics", timeout=WAIT).text
        assert httpx.get(f"{own}/models", timeout=WAIT).status_code == 404
        assert (server.get("/metrics"), server.get("/models")) == (404, 200)
        server.process.send_signal(signal.SIGTERM)
        assert server.exit_code(30) == 0
    assert "GET /models 200 in" in log.read_text()
    assert "/health" not in log.read_text()
