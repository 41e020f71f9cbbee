"""Load from a process of its own: clients on sockets, cheap enough to keep a service busy on two CPUs.

Each request has a name and what may come back. Whatever else comes is told with the time when it came, so that a test
can compare it with the time of the fault that it injected.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.reliability import figures
from tests.service.servers import ROOT, Server


@dataclass(frozen=True)
class Ask:
    """One kind of request. ``expected`` are the statuses that are right; ``weight`` is how often it comes."""

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    expected: tuple[int, ...] = (200,)
    weight: int = 1

    def on_the_wire(self, keep_alive: bool) -> bytes:
        head = {"Host": "sluice", "Content-Length": str(len(self.body)), **self.headers}
        if not keep_alive:
            head["Connection"] = "close"
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass(frozen=True)
class Surprise:
    """What came in the place of an expected answer: a status, or 0 where the connection was cut or refused.

    ``began`` and ``ended`` are readings of time.monotonic().
    """

    name: str
    status: int
    said: str
    began: float
    ended: float

    def __str__(self) -> str:
        return f"{self.name}: {self.status} {self.said}"


@dataclass
class Answers:
    """What came back: answers in all, by status; surprises; digests of the bodies of the right answers, by name."""

    count: int
    statuses: dict[int, int]
    surprises: list[Surprise]
    bodies: dict[str, list[str]]
    seconds: float


class Load:
    """A running load; ``stop`` ends it and tells what came back."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answers: Answers | None = None

    def progress(self) -> int:
        """Answers so far, of any kind. Waits for the next time that it is told, which is at least twice a second."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the clients ended"
        told: dict[str, Any] = json.loads(line)
        return int(told["count"])

    def stop(self) -> Answers:
        if self._answers is None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            if not self._process.stdin.closed:
                self._process.stdin.close()
            last: dict[str, Any] = {}
            for line in self._process.stdout:
                last = json.loads(line)
            assert self._process.wait(60) == 0
            statuses = {int(status): count for status, count in last["statuses"].items()}
            surprises = [Surprise(*one) for one in last["surprises"]]
            self._answers = Answers(last["count"], statuses, surprises, last["bodies"], last["seconds"])
            figures.current().sent(self._answers.count)
        return self._answers

    def finished(self) -> Answers:
        """Wait until the ``total`` has been sent."""
        return self.stop()


@contextmanager
def load(
    server: Server,
    asks: Sequence[Ask],
    *,
    clients: int = 4,
    keep_alive: bool = True,
    depth: int = 1,
    total: int = 0,
    pause: float = 0.0,
) -> Iterator[Load]:
    """Clients that ask in turn until ``stop``, or until they have asked ``total`` times together.

    ``depth`` requests are sent at once on a connection; ``pause`` is the time between two requests of a client.
    """
    host, _, port = server.address.removeprefix("http://").partition(":")
    plan = {
        "address": [host, int(port)],
        "asks": [
            [ask.name, base64.b64encode(ask.on_the_wire(keep_alive)).decode(), list(ask.expected), ask.weight]
            for ask in asks
        ],
        "clients": clients,
        "keep_alive": keep_alive,
        "depth": depth,
        "total": total,
        "pause": pause,
    }
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/reliability/clients.py"), json.dumps(plan)],
        stdin=subprocess.DEVNULL if total else subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    if total:
        process.stdin = open(os.devnull, "w")  # noqa: SIM115 (closed by stop)
    try:
        yield Load(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
