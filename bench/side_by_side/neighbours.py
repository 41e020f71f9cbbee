"""How the service keeps its speed beside busy processes of the same priority, and under a CPU quota.

Threads that spin while they wait for each other can make a server ten times slower as soon as a core is missing. One
server is measured alone, beside one and beside two busy processes. Another one is measured inside a control group
with a quota of one core, where it finds the quota when it starts.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from math import inf, isfinite
from pathlib import Path
from statistics import median

from bench import children
from bench.serving import connect, served
from bench.side_by_side import cpu_group, payloads, processes
from bench.side_by_side.contenders import score_request
from bench.side_by_side.load import NotAnswered, ask
from bench.side_by_side.published_model import digits
from bench.side_by_side.report import Row, table
from bench.side_by_side.shipped_models import copy

MODEL = "mnist"
QUOTA = 1.0
_BESIDE = {1: 1.5, 2: 2.5}
"""Times the quiet time that are allowed, by the number of busy processes."""
_UNDER_QUOTA = 2.2
_REPEATS = 5
_REQUESTS = 20
"""Requests whose median is one measurement of a work that takes milliseconds."""
_PATIENCE = 60.0
"""Seconds after which a condition gets no further repeat: a server that stalls must not stall the benchmark."""
_TIMEOUT = 90.0
# A library call at the speed of C in one thread, which holds a core and, unlike a loop in Python, its caches.
_BUSY = "import hashlib\nblock = bytes(2**20)\nwhile True:\n    hashlib.sha256(block).digest()\n"
_BUSY_SECONDS = 0.1
"""CPU time by which a busy process has begun its loop."""

Times = Mapping[str, float]
"""Seconds by work."""


def measured() -> Iterator[str | Row]:
    """A table of all times, then a row for each condition and work."""
    found: dict[str, Times] = {}
    with _server() as address:
        for count in (0, *_BESIDE):
            with neighbours(count):
                found[_named(count)] = times(address)
    problem = ""
    try:
        with cpu_group.limited(QUOTA) as group, _server(group) as address:
            found[_QUOTA_NAME] = times(address)
    except (cpu_group.NoCpuGroup, RuntimeError, OSError) as error:
        problem = f"not run: {error}"
    yield from _lines(found)
    quiet = found[_named(0)]
    for count, allowed in _BESIDE.items():
        yield from _rows(_named(count), allowed, found[_named(count)], quiet)
    if problem:
        target = f"{_UNDER_QUOTA} times the quiet time"
        yield from (Row(f"{work}, {_QUOTA_NAME}", target, problem, None) for work in quiet)
    else:
        yield from _rows(_QUOTA_NAME, _UNDER_QUOTA, found[_QUOTA_NAME], quiet)


@contextmanager
def neighbours(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep ``count`` busy processes of this process's priority running; they are killed at the end."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            busy = children.start([sys.executable, "-c", _BUSY], end_signal=signal.SIGKILL)
            stack.callback(_kill, busy)
            found.append(busy)
        while any(processes.cpu_seconds([busy.pid]) < _BUSY_SECONDS for busy in found):
            if any(busy.poll() is not None for busy in found):
                raise RuntimeError("a busy process ended")
            time.sleep(0.05)
        yield found


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@contextmanager
def _server(*groups: Path) -> Iterator[str]:
    """A server of the shipped model alone."""
    with tempfile.TemporaryDirectory() as folder:
        copy(MODEL, Path(folder))
        with served(Path(folder), groups=groups, drain_delay="0") as (_, address):
            yield address


def times(address: str) -> dict[str, float]:
    """Seconds of every work: the median over repeats, after one of each to warm up. Infinite where it is not done."""
    with closing(connect(address, _TIMEOUT)) as connection:
        works = _works(connection)
        found: dict[str, list[float]] = {name: [] for name in works}
        give_up = time.monotonic() + _PATIENCE
        for repeat in range(_REPEATS + 1):
            if repeat and time.monotonic() > give_up:
                break
            for name, work in works.items():
                try:
                    found[name].append(work())
                except (NotAnswered, TimeoutError) as error:
                    print(f"{name}: {error}", file=sys.stderr, flush=True)
                    found[name].append(inf)
                    connection.close()  # the next request opens it again
    return {name: median(column[1:] or column) for name, column in found.items()}


def _works(connection: HTTPConnection) -> dict[str, Callable[[], float]]:
    """What is measured, by name: each call returns seconds."""
    pixels, query = digits()[1][0], f"&model={MODEL}"
    score, samples = score_request(pixels, query), payloads.samples(64, query)
    inpainting = payloads.inpainting(pixels, 50, query)
    return {
        "`/score` p50, one PNG": lambda: median(_seconds(lambda: ask(connection, score), _REQUESTS)),
        "`/sample?n=64`": lambda: median(_seconds(lambda: ask(connection, samples), 1)),
        "`/inpaint`, 50 steps": lambda: median(_seconds(lambda: ask(connection, inpainting), 1)),
        "`GET /health/ready` p50": lambda: median(_seconds(lambda: _ready(connection), _REQUESTS)),
    }


def _seconds(work: Callable[[], object], count: int) -> Sequence[float]:
    found = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return found


def _ready(connection: HTTPConnection) -> None:
    connection.request("GET", "/health/ready")
    with connection.getresponse() as answer:
        answer.read()
    if answer.status != 200:
        raise NotAnswered(f"GET /health/ready answered {answer.status}")


_QUOTA_NAME = f"under a quota of {QUOTA:.1f} cores"


def _named(count: int) -> str:
    return ("quiet", "beside one busy process", "beside two busy processes")[count]


def _lines(found: Mapping[str, Times]) -> Iterator[str]:
    works = next(iter(found.values()))
    head = (f"with `{MODEL}`, median of {_REPEATS}", *found)
    return table(head, ((work, *(_ms(column[work]) for column in found.values())) for work in works))


def _rows(condition: str, allowed: float, reached: Times, quiet: Times) -> Iterator[Row]:
    for work, seconds in reached.items():
        ratio = seconds / quiet[work]
        yield Row(
            f"{work}, {condition}",
            f"{allowed} times the quiet time",
            f"{ratio:.2f} times: {_ms(seconds)}, {_ms(quiet[work])} quiet",
            ratio <= allowed,
        )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if isfinite(seconds) else "not answered"
