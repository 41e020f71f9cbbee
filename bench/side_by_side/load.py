"""Load from outside: wrk keeps a number of connections busy and measures how long answers take.

With its one thread it takes so little CPU time that a server can be measured beside it on two cores. On Debian:
apt-get install wrk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

_SCRIPT = Path(__file__).with_name("load.lua")
_TIMEOUT = 30
"""Seconds after which wrk counts a request as broken."""


class NotAnswered(RuntimeError):
    """A request got an answer with another status than 200."""


class NoLoad(RuntimeError):
    """wrk is missing, or ended without a measurement."""


@dataclass(frozen=True)
class Request:
    """One POST that is sent repeatedly; ``path`` includes the query."""

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Load(NamedTuple):
    """What one run measured.

    ``requests`` counts answers of any status, ``refused`` those of 400 or more, ``broken`` the requests that got none.
    """

    seconds: float
    requests: int
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return (self.requests - self.refused) / self.seconds

    @property
    def failures(self) -> int:
        """Requests without a good answer."""
        return self.refused + self.broken


def drive(address: str, request: Request, connections: int, seconds: float) -> Load:
    """Keep ``connections`` busy with a request for ``seconds``, at least 1, rounded to whole ones. Raises NoLoad."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise NoLoad("wrk is not installed; on Debian: apt-get install wrk")
    with tempfile.NamedTemporaryFile() as body:
        body.write(request.body)
        body.flush()
        environment = os.environ | {
            "BENCH_PATH": request.path,
            "BENCH_BODY": body.name,
            "BENCH_HEADERS": "".join(f"{name}: {value}\n" for name, value in request.headers.items()),
        }
        duration = f"{max(round(seconds), 1)}s"
        command = [
            wrk,
            "-t1",
            f"-c{connections}",
            f"-d{duration}",
            f"--timeout={_TIMEOUT}s",
            "-s",
            str(_SCRIPT),
            address,
        ]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise NoLoad(f"wrk ended with {ran.returncode}: {ran.stderr.strip()}")
    return parse(ran.stdout)


def ask(connection: HTTPConnection, request: Request) -> bytes:
    """Send a request once; the body of its answer. Raises NotAnswered, OSError, HTTPException."""
    connection.request("POST", request.path, request.body, dict(request.headers))
    with connection.getresponse() as answer:
        body = answer.read()
    if answer.status != 200:
        raise NotAnswered(f"POST {request.path} answered {answer.status}: {body[:200]!r}")
    return body


def parse(output: str) -> Load:
    """The line that load.lua wrote, out of all that wrk printed. Raises NoLoad."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            return Load(**json.loads(line))
    raise NoLoad(f"wrk printed no measurement: {output[-200:]!r}")
