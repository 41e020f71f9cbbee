"""The service as its users run it: processes of its own, reached over loopback, for as long as a benchmark needs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import IO
from urllib.parse import urlsplit

from bench import children
from bench.side_by_side import processes

PATIENCE = 120.0
"""Seconds until the models must be loaded, and until the service must have ended after SIGTERM."""
_POLL = 0.02
_CALM = 0.5
"""Seconds in which it takes less than a tenth of a core."""
_LOG_LINES = 30
NO_KEY: Mapping[str, str] = MappingProxyType({})
"""The headers of requests to a service without keys."""


@contextmanager
def served(store: Path, *, groups: Sequence[Path] = (), key: str = "", **settings: str) -> Iterator[tuple[int, str]]:
    """Yield the process id and the address of `sluice serve` over a store, once it is ready and at rest.

    The process id is that of the root of the server's process tree. ``groups`` are directories of control groups that
    the server runs in. ``key`` is one of the scope `read`, where the server has keys. ``settings`` become SLUICE_
    variables: their names are given in lower case.
    """
    with started(store, groups=groups, **settings) as (process, address):
        wait_until_ready(process, address)
        wait_until_all_loaded(process, address, {"X-API-Key": key} if key else NO_KEY)
        wait_until_calm(process)
        yield process.pid, address


@contextmanager
def started(
    store: Path, *, groups: Sequence[Path] = (), **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Like ``served``, without waiting for the server to be ready: yields its process and its address.

    Raises ServerEnded in place of any error of the caller when the server has ended meanwhile, since it explains them.
    """
    port = free_port()
    environment = os.environ | {f"SLUICE_{key.upper()}": value for key, value in settings.items()}
    command = [sys.executable, "-m", "service", "serve", "--store", str(store), "--port", str(port)]
    with tempfile.TemporaryFile() as errors:
        process = children.start(command, environment=environment, groups=groups, errors=errors)
        try:
            yield process, f"http://127.0.0.1:{port}"
        except Exception as error:
            if process.poll() is None:
                raise
            raise ServerEnded(f"the service ended with exit code {process.returncode}{_tail(errors)}") from error
        finally:
            if not children.stop(process, PATIENCE):
                print(f"the service was killed {PATIENCE:.0f} s after SIGTERM", file=sys.stderr)


class ServerEnded(RuntimeError):
    """The service ended while it was needed; the message gives its exit code and the last line of its log."""


class NotReady(RuntimeError):
    """The service refused a model, or PATIENCE passed before it was ready."""


def wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    """Return as soon as ``GET /health/ready`` answers 200. Raises NotReady and ServerEnded."""
    for _ in attempts(process):
        try:
            status, _ = get(address, "/health/ready")
        except (OSError, HTTPException):
            continue
        if status == 200:
            return


def wait_until_all_loaded(process: subprocess.Popen[bytes], address: str, headers: Mapping[str, str] = NO_KEY) -> None:
    """Return as soon as no model is being loaded: that takes a whole core. Raises NotReady and ServerEnded."""
    for _ in attempts(process):
        status, body = get(address, "/models", headers=headers)
        if status == 200 and not json.loads(body)["loading"]:
            return


def wait_until_calm(process: subprocess.Popen[bytes]) -> None:
    """Return once the service does nothing: it warms up after it has loaded. Raises NotReady and ServerEnded."""
    used, since = processes.cpu_seconds_below(process.pid), time.monotonic()
    for _ in attempts(process):
        if time.monotonic() - since < _CALM:
            continue
        before, used, since = used, processes.cpu_seconds_below(process.pid), time.monotonic()
        if used - before < _CALM / 10:
            return


def wait_until_loaded(process: subprocess.Popen[bytes], address: str, names: Collection[str]) -> None:
    """Return as soon as ``GET /models`` lists all of these models. Raises NotReady and ServerEnded."""
    for _ in attempts(process):
        try:
            status, body = get(address, "/models")
        except (OSError, HTTPException):
            continue
        if status != 200:
            continue
        document = json.loads(body)
        for refused in document["refused"]:
            if refused["name"] in names:
                raise NotReady(f"{refused['name']} was refused: {refused['reason']}")
        if {model["name"] for model in document["models"]}.issuperset(names):
            return


def attempts(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Yield every 20 ms. Raises ServerEnded when the process has ended, NotReady when PATIENCE has passed."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise ServerEnded(f"the service ended with exit code {process.returncode}")
        yield
        time.sleep(_POLL)
    raise NotReady(f"the service was not ready within {PATIENCE:.0f} s")


def get(address: str, path: str, timeout: float = 5.0, headers: Mapping[str, str] = NO_KEY) -> tuple[int, bytes]:
    """Status and body of one GET on a connection of its own. Raises OSError and HTTPException."""
    with closing(connect(address, timeout)) as connection:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()


def connect(address: str, timeout: float) -> HTTPConnection:
    """A connection that is opened by its first request."""
    url = urlsplit(address)
    return HTTPConnection(url.hostname or "", url.port, timeout=timeout)


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _tail(log: IO[bytes]) -> str:
    """The last line of a server's log, for one line of an error; more of it is printed to standard error."""
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    print("\n".join(lines[-_LOG_LINES:]), file=sys.stderr, flush=True)
    return f": {lines[-1].strip()}" if lines else ""
