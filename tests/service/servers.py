"""Real server processes for tests: started, watched through /proc, and never left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.service.helpers import sample_of

WAIT = 60.0
ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    """A service and its processes."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str = ""

    def get(self, path: str) -> int:
        """The status of a GET on a new connection; 0 where nobody answers."""
        try:
            return httpx.get(f"{self.address}{path}", timeout=WAIT).status_code
        except httpx.TransportError:
            return 0

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.address}{path}", **{"timeout": WAIT, **options})

    def ready(self) -> bool:
        """Whether every model of the store serves: readiness asks for the default alone."""
        if self.get("/health/ready") != 200:  # before it is, it is not known yet which models there are
            return False
        return not httpx.get(f"{self.address}/models", timeout=WAIT).json()["loading"]

    def ready_everywhere(self, clients: ThreadPoolExecutor) -> bool:
        """Whether each of several api processes says so: asked at once, not all of the questions reach the same one.

        They hear of a device that is back within a tenth of a second of each other.
        """
        return all(clients.map(lambda _: self.ready(), range(16)))

    def metric(self, name: str, **labels: str) -> float:
        return sample_of(httpx.get(f"{self.address}/metrics", timeout=WAIT).text, name, **labels)

    def children(self, module: str) -> set[int]:
        """The running child processes of a module."""
        return {pid for pid in _children(self.process.pid) if module in _command(pid)}

    def device(self) -> int:
        (pid,) = self.children("service.device")
        return pid

    def runs(self) -> bool:
        """True, while it runs. A service that has ended fails the test, with what it said."""
        assert self.process.poll() is None, f"exit {self.process.returncode}: {self.log.read_text()[-4000:]}"
        return True

    def exit_code(self, seconds: float = WAIT) -> int:
        return self.process.wait(seconds)


@contextmanager
def started(command: list[str], log: Path, **settings: Any) -> Iterator[Server]:
    """A process with SLUICE_ variables; it and its children are gone afterwards."""
    said = {f"SLUICE_{key.upper()}": str(value) for key, value in settings.items()}
    environment = os.environ | {"SLUICE_DEVICE": "cpu", "SLUICE_THREADS": "1", "OMP_NUM_THREADS": "1"} | said
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stderr=file, cwd=ROOT)
    server = Server(process, log)
    try:
        yield server
    finally:
        left = _children(process.pid)
        process.kill()
        process.wait(WAIT)
        for pid in left:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def serving(store: Path, log: Path, *, ready: bool = True, **settings: Any) -> Iterator[Server]:
    """`sluice serve` on a free port; fields of Settings are set through the environment."""
    with started(["service", "serve", "--store", str(store), "--port", "0"], log, **settings) as server:
        wait_until(lambda: server.runs() and b"listening on" in log.read_bytes())
        found = re.search(r"listening on (http://\S+)", log.read_text())
        assert found is not None
        server.address = found[1]
        if ready:
            wait_until(lambda: server.runs() and server.ready())
        yield server


def wait_until(condition: Callable[[], Any], seconds: float = WAIT) -> None:
    """Ask again and again, less and less often: to ask takes CPU time from the processes that are waited for."""
    end, pause = time.monotonic() + seconds, 0.01
    while not condition():
        assert time.monotonic() < end
        time.sleep(pause)
        pause = min(1.3 * pause, 0.1)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found |= set(map(int, (task / "children").read_text().split()))
    except OSError:
        return found
    return found


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
