"""Children that end with their parent, and processes that die too often."""

from __future__ import annotations

<<<<<<< HEAD
=======
import asyncio
import errno
>>>>>>> 26aa132 (Say in one line that there is no folder for sockets)
import os
import subprocess
import sys
<<<<<<< HEAD
=======
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
>>>>>>> 26aa132 (Say in one line that there is no folder for sockets)
from pathlib import Path
from typing import Any

import pytest

from service.processes import PARENT
from service.protocol import keeper
from service.keeper import Deaths, KeepsDying, environment_of
from service.settings import Settings
<<<<<<< HEAD
from tests.service.servers import ROOT, alive, wait_until
=======
from service.supervisor import Supervisor, listen, supervise
>>>>>>> 26aa132 (Say in one line that there is no folder for sockets)

_CHILD = "from service.processes import die_with_parent; die_with_parent(); import time; time.sleep(600)"
_PARENT = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {_CHILD!r}], env=os.environ | {{"{PARENT}": str(os.getpid())}})
print(child.pid, flush=True)
sys.stdin.read(1)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a child of its parent's death")
@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_child_ends_with_its_parent_whenever_that_dies(seconds: float) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            parent.wait(max(seconds, 0.001))
        assert alive(child)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not alive(child), 30)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a child of its parent's death")
def test_a_child_whose_parent_is_another_by_now_ends_at_once() -> None:
    environment = os.environ | {PARENT: "1" if os.getpid() != 1 else "2"}
    done = subprocess.run([sys.executable, "-c", _CHILD], env=environment, cwd=ROOT, timeout=60)
    assert done.returncode == 1


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_three_deaths_within_a_minute_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(keeper, "time", clock)
    deaths = Deaths()
    for _ in range(5):
        clock.now += 31
        deaths.note("it")
    clock.now += 10
    with pytest.raises(KeepsDying, match="it has died 3 times"):
        deaths.note("it")


<<<<<<< HEAD
def test_a_child_gets_the_settings_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(store=tmp_path, max_n=7, default_model="digits@2", deadline=1.5, admin_token_file=tmp_path)
    for name in ("SLUICE_MAX_N", "SLUICE_STORE"):
        monkeypatch.setenv(name, "overwritten")
    told: dict[str, Any] = environment_of(settings)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
    assert told[PARENT] == str(os.getpid())
    assert str(ROOT) in told["PYTHONPATH"].split(os.pathsep)
=======
def test_every_line_of_the_log_tells_which_process_wrote_it(serving: Serving) -> None:
    kill_device(serving)
    until(lambda: serving.status("/health/live") == 503)
    until(lambda: serving.status("/health/ready") == 200)
    lines = serving.log.read_text().splitlines()
    assert any(" supervisor: the device process has died (signal 9)" in line for line in lines)
    assert sum(" device: loaded digits@1" in line for line in lines) == 2


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
            until(lambda: (serving.metric("sluice_queue_jobs") or 0) > 0)
            serving.process.send_signal(signal.SIGTERM)

            def refused() -> bool:
                try:
                    socket.create_connection((host, int(port)), 1).close()
                except ConnectionRefusedError:
                    return True
                return False

            until(refused)
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
>>>>>>> 26aa132 (Say in one line that there is no folder for sockets)
