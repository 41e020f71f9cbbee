"""What the service does when more is asked than it can do at once: scores beside inpaintings, overload, memory."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from bench.inpainting_speed import REQUESTS
from bench.serving import served
from bench.side_by_side import metrics, payloads, processes
from bench.side_by_side.contenders import score_request
from bench.side_by_side.in_process import BATCH
from bench.side_by_side.load import Request, drive
from bench.side_by_side.offered import offer
from bench.side_by_side.published_model import PublishedModel
from bench.side_by_side.report import Row

_TICKS = 3
_STEPS = 2000
"""Steps of an inpainting that outlasts the measurement."""
_QUEUE = 8 * BATCH
"""Item-ticks that may wait when the service is overloaded: about half a second of work."""
_TIMES = 4
_GOODPUT = 0.95
_REFUSAL = 0.010
"""Seconds within which a refusal is to be answered."""
_BURST = 5.0
"""Seconds of load in whose middle memory is read."""
_MEMORY = 400 * 10**6
_GROWTH = 10 * 10**6
"""Bytes that may be growth: allocators vary by a few megabytes, and a leak of 100 bytes a request is twice this."""


def rows(model: PublishedModel, seconds: float, requests: int, patience: float) -> Iterator[Row]:
    """All three. Memory is measured over ``requests``, or over as many as can be made in ``patience`` seconds."""
    with served(model.store, drain_delay="0") as (root, address):
        yield beside_inpaintings(model, address, 2 * seconds)
        yield from memory(model, root, address, requests, patience)
    with served(model.store, drain_delay="0", queue_item_ticks=str(_QUEUE)) as (_, address):
        yield from overload(model, address, 2 * seconds)


def beside_inpaintings(model: PublishedModel, address: str, seconds: float) -> Row:
    """Latency of scores while inpaintings run: a score waits for the current tick to end, then takes one of its own."""
    request = score_request(model.digits[0])
    with under_way(address, payloads.inpainting(model.digits[0], _STEPS), REQUESTS):
        drive(address, request, 4, 1)
        before = metrics.ticks(address, "inpaint")
        load = drive(address, request, 4, seconds)
        after = metrics.ticks(address, "inpaint")
    count = after.total - before.total
    tick_ms = 1000 * (after.seconds - before.seconds) / count if count else 0.0
    ticks = load.p99_ms / tick_ms if tick_ms else float("inf")
    reached = f"{ticks:.1f} ticks: {load.p99_ms:.0f} ms, a tick of theirs takes {tick_ms:.0f} ms"
    return Row(
        f"`/score` p99, 4 connections, while {REQUESTS} inpaintings run", f"{_TICKS} ticks", reached, ticks <= _TICKS
    )


@contextmanager
def under_way(address: str, request: Request, count: int) -> Iterator[None]:
    """Keep ``count`` requests running whose answers nobody reads; at the end their clients disconnect."""
    url = urlsplit(address)
    head = f"POST {request.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(request.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    message = head.encode() + b"\r\n" + request.body
    with ExitStack() as connections:
        for _ in range(count):
            connection = socket.create_connection((url.hostname, url.port))
            connections.enter_context(connection)
            connection.sendall(message)
        _until(lambda: metrics.queued(address) >= count, f"{count} requests run")
        yield
    _until(lambda: metrics.queued(address) == 0, "the requests of disconnected clients have ended")


def _until(holds: Callable[[], bool], what: str, patience: float = 60.0) -> None:
    give_up = time.monotonic() + patience
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError(f"after {patience:.0f} s it is still not so that {what}")
        time.sleep(0.1)


def overload(model: PublishedModel, address: str, seconds: float) -> Iterator[Row]:
    """Goodput and refusals when _TIMES the peak rate is offered."""
    request = payloads.batch(model.digits[:BATCH])
    drive(address, request, 4, 1)
    peak = max(drive(address, request, connections, seconds / 2).rate for connections in (2, 4, 8))
    if not peak:
        raise RuntimeError("no request was answered in time before the overload")
    found = offer(address, request, _TIMES * peak, seconds)
    share = found.rate / peak
    reached = (
        f"{share:.0%}: {BATCH * found.rate:,.0f} of {BATCH * peak:,.0f} images/s; "
        f"of {found.sent} requests {len(found.refused)} refused, {found.other} failed"
    )
    work = f"`/score` of {BATCH} images as npy, offered {_TIMES} times what it can do"
    yield Row(f"{work}: goodput", f"{_GOODPUT:.0%} of the peak", reached, share >= _GOODPUT and not found.other)
    target = f"{1000 * _REFUSAL:.0f} ms"
    if not found.refused:
        yield Row(f"{work}: refusals, p99", target, "none was refused", None)
        return
    p99 = found.refusal(0.99)
    reached = f"{1000 * p99:.1f} ms, p50 {1000 * found.refusal(0.5):.1f} ms"
    yield Row(f"{work}: refusals, p99", target, reached, p99 <= _REFUSAL)


def memory(model: PublishedModel, root: int, address: str, requests: int, patience: float) -> Iterator[Row]:
    """The most memory that all processes of the server have while many requests are made, and how much it grows."""
    request = score_request(model.digits[0])
    done, began = 0, time.monotonic()
    sizes: list[tuple[int, processes.Memory]] = []
    with ThreadPoolExecutor(1) as pool:
        while done < requests and time.monotonic() - began < patience:
            loading = pool.submit(drive, address, request, 32, _BURST)
            time.sleep(_BURST / 2)
            size = processes.memory(processes.tree(root))
            done += loading.result().requests
            sizes.append((done, size))
            print(f"{done:,} requests, {size.whole / 1e6:.0f} MB", file=sys.stderr, flush=True)
    weights = model.weights.stat().st_size
    most = max((size for _, size in sizes), key=lambda size: size.whole)
    beyond = most.whole - weights
    members = ", ".join(f"{len(found)} {role}" for role, found in processes.by_role(root).items() if found)
    work = f"memory of all processes over {done:,} requests of one PNG"
    yield Row(
        f"{work}: beyond the model's {weights / 1e6:.0f} MB",
        f"{_MEMORY / 1e6:.0f} MB",
        f"{beyond / 1e6:.0f} MB; by PSS {(most.pss - weights) / 1e6:.0f} MB; processes: {members}",
        beyond <= _MEMORY,
    )
    early = next(size for count, size in sizes if count >= done / 10)
    growth = sizes[-1][1].whole - early.whole
    yield Row(
        f"{work}: growth after the first tenth",
        f"{_GROWTH / 1e6:.0f} MB",
        f"{growth / 1e6:+.1f} MB",
        growth <= _GROWTH,
    )
