"""The processes of a service: a device that dies is replaced and counted, and what each process logs bears its name."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from service.supervisor import Supervisor, listen, supervise
from tests.service.servers import WAIT, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")


@dataclass
class Serving:
    """The command `sluice serve`."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def status(self, path: str) -> int:
        """0 where nobody answers."""
        try:
            return httpx.get(f"{self.address}{path}", timeout=WAIT).status_code
        except httpx.TransportError:
            return 0

    def loaded(self) -> bool:
        return bool(httpx.get(f"{self.address}/models", timeout=WAIT).json()["loading"] == [])

    def device(self) -> int | None:
        """The device process's number."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            if b"service.device" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        return None

    def metric(self, name: str) -> float | None:
        lines = httpx.get(f"{self.address}/metrics", timeout=WAIT).text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), None)


@pytest.fixture(scope="module")
def serving(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One service for all tests that leave it serving: in this file its device may die twice within a minute."""
    with running(store, tmp_path_factory.mktemp("serving") / "log") as started:
        yield started


@contextmanager
def running(store: Path, log: Path, **settings: str) -> Iterator[Serving]:
    """A service that is ready and has loaded every model. Keyword arguments are settings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "service", "serve", "--store", str(store), "--port", str(port), "--device", "cpu"]
    environment = os.environ | {f"SLUICE_{key.upper()}": value for key, value in settings.items()}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    started = Serving(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until(lambda: started.status("/health/ready") == 200 and started.loaded())
        yield started
    finally:
        process.kill()
        process.wait(WAIT)


def kill_device(serving: Serving) -> None:
    wait_until(lambda: serving.device() is not None)
    os.kill(serving.device() or 0, signal.SIGKILL)


def test_a_killed_device_is_replaced_and_the_metrics_count_it(serving: Serving) -> None:
    before = serving.metric("sluice_device_restarts_total")
    assert before is not None
    kill_device(serving)
    wait_until(lambda: serving.status("/health/live") == 503)
    assert serving.status("/health/ready") == 503
    wait_until(lambda: serving.status("/health/ready") == 200)
    assert serving.metric("sluice_device_restarts_total") == before + 1
    assert serving.process.poll() is None


def test_every_line_of_the_log_tells_which_process_wrote_it(serving: Serving) -> None:
    def lines(words: str) -> int:
        return sum(words in line for line in serving.log.read_text().splitlines())

    died, loaded = lines(" supervisor: the device process has died (signal 9)"), lines(" device: loaded digits@1")
    kill_device(serving)
    wait_until(lambda: serving.status("/health/live") == 503)
    wait_until(lambda: serving.status("/health/ready") == 200)
    assert lines(" supervisor: the device process has died (signal 9)") == died + 1
    assert lines(" device: loaded digits@1") == loaded + 1


def test_the_most_threads_of_an_operation_can_be_read(serving: Serving) -> None:
    cpus = len(os.sched_getaffinity(0))
    assert 1 <= (serving.metric("sluice_device_threads_bound") or 0) <= cpus


def test_a_signal_that_comes_while_an_api_process_is_started_reaches_it(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(store=store, port=0, device="cpu")
    start = asyncio.create_subprocess_exec

    async def start_and_signal(*command: str, **options: object) -> asyncio.subprocess.Process:
        process = await start(*command, **options)  # type: ignore[arg-type]
        if "service.api" in command:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.1)  # the handler has run
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_and_signal)
    with listen(settings) as listener:
        assert asyncio.run(asyncio.wait_for(Supervisor(settings, listener).run(), WAIT / 2)) == 0


def test_connections_are_refused_while_the_last_requests_are_finished(store: Path, tmp_path: Path) -> None:
    with running(store, tmp_path / "log", drain_delay="0", max_steps="1000000") as serving:
        host, port = serving.address.removeprefix("http://").split(":")
        body = b'{"image": [0.5, 0], "mask": [0, 1]}'
        head = f"POST /inpaint?model=points&steps=1000000 HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection((host, int(port))) as waiting:
            waiting.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
            wait_until(lambda: (serving.metric("sluice_queue_jobs") or 0) > 0)
            serving.process.send_signal(signal.SIGTERM)

            def refused() -> bool:
                try:
                    socket.create_connection((host, int(port)), 1).close()
                except ConnectionRefusedError:
                    return True
                return False

            wait_until(refused)
            assert serving.process.poll() is None
        assert serving.process.wait(WAIT) == 0


def test_without_a_folder_for_sockets_it_says_so_and_ends(
    store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: object) -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    settings = Settings(store=store, port=0, device="cpu")
    with listen(settings) as listener:
        assert supervise(settings, listener) == 1
    assert "No usable temporary directory found" in caplog.text
