"""Load from outside: wrk with one thread keeps so many connections busy and says how long answers took.

It takes so little of the machine that a server can be measured beside it on two cores. On Debian it is apt-get install
wrk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_SCRIPT = Path(__file__).with_name("load.lua")
_GIVE_UP = 30
"""Seconds after which an answer no longer counts."""


class NoLoad(RuntimeError):
    """wrk is missing, or ended without saying what it measured."""


@dataclass(frozen=True)
class Request:
    """One POST that is sent again and again; ``path`` includes the query."""

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Load(NamedTuple):
    """What one run measured: ``refused`` answers had a status of 400 or more, ``broken`` ones never came."""

    seconds: float
    requests: int
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.refused) / self.seconds

    @property
    def failures(self) -> int:
        return self.refused + self.broken


def drive(address: str, request: Request, connections: int, seconds: float) -> Load:
    """Keep ``connections`` busy with a request for so long. Raises NoLoad."""
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
        # Whole seconds are all that wrk takes.
        duration = f"{max(round(seconds), 1)}s"
        command = [
            wrk,
            "-t1",
            f"-c{connections}",
            f"-d{duration}",
            f"--timeout={_GIVE_UP}s",
            "-s",
            str(_SCRIPT),
            address,
        ]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise NoLoad(f"wrk ended with {ran.returncode}: {ran.stderr.strip()}")
    return parse(ran.stdout)


def parse(output: str) -> Load:
    """What the script wrote, out of all that wrk printed. Raises NoLoad."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            return Load(**json.loads(line))
    raise NoLoad(f"wrk said nothing of what it measured: {output[-200:]!r}")
