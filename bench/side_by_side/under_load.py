"""What the service does when more is asked than it can do at once: scores beside inpaintings, overload, memory."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import torch

from bench.inpainting_speed import REQUESTS, Work
from bench.serving import served
from bench.side_by_side import metrics, processes
from bench.side_by_side.contenders import sluice
from bench.side_by_side.in_process import BATCH, scoring
from bench.side_by_side.load import Request, drive
from bench.side_by_side.model import NAME, Prepared
from bench.side_by_side.offered import offer
from bench.side_by_side.report import Row

_TICKS = 3
_LONG = 2000
"""Steps of an inpainting that outlasts the measurement."""
_QUEUE = 8 * BATCH
"""Item-ticks that may wait when the service is overloaded: about half a second of work."""
_TIMES = 4
_PROMPT = 0.010
"""Seconds within which a refusal is told."""
_MEMORY = 400 * 10**6
_FLAT = 10 * 10**6
"""Bytes: an allocator's own to and fro is a few megabytes, and a leak of 100 bytes a request is twice this."""


def rows(model: Prepared, seconds: float, requests: int, patience: float) -> Iterator[Row]:
    """Memory is looked at over so many requests, or as many as can be made in ``patience`` seconds."""
    with served(model.store, drain_delay="0") as (process, address):
        yield beside_inpaintings(model, address, 2 * seconds)
        yield from memory(model, process, address, requests, patience)
    with served(model.store, drain_delay="0", queue_item_ticks=str(_QUEUE)) as (_, address):
        yield from overload(model, address, 2 * seconds)


def beside_inpaintings(model: Prepared, address: str, seconds: float) -> Row:
    """A score that arrives during a tick waits for its end, and then takes one of its own."""
    request = sluice(model, "auto").ask(model.digits[0])
    work = Work(model.model.serving, model.model.survey, NAME, torch.from_numpy(model.digits)).request(_LONG)
    with under_way(address, work, REQUESTS):
        drive(address, request, 4, 1)
        before = metrics.ticks(address, "inpaint")
        load = drive(address, request, 4, seconds)
        after = metrics.ticks(address, "inpaint")
    count = after.count - before.count
    tick_ms = 1000 * (after.seconds - before.seconds) / count if count else 0.0
    ticks = load.p99_ms / tick_ms if tick_ms else float("inf")
    reached = f"{ticks:.1f} ticks: {load.p99_ms:.0f} ms, a tick of theirs takes {tick_ms:.0f} ms"
    return Row(
        f"`/score` p99, 4 connections, while {REQUESTS} inpaintings run", f"{_TICKS} ticks", reached, ticks <= _TICKS
    )


@contextmanager
def under_way(address: str, request: Request, count: int) -> Iterator[None]:
    """So many of a request that nobody waits for; at the end their clients leave."""
    url = urlsplit(address)
    head = f"POST {request.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(request.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    message = head.encode() + b"\r\n" + request.body
    with ExitStack() as connections:
        for _ in range(count):
            connection = socket.create_connection((url.hostname, url.port))
            connections.enter_context(connection)
            connection.sendall(message)
        _until(lambda: metrics.queued(address) >= count)
        yield
    _until(lambda: metrics.queued(address) == 0)


def _until(holds: Callable[[], bool], patience: float = 60.0) -> None:
    give_up = time.monotonic() + patience
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError("the service did not get there")
        time.sleep(0.1)


def overload(model: Prepared, address: str, seconds: float) -> Iterator[Row]:
    request = scoring(model)
    drive(address, request, 4, 1)
    peak = max(drive(address, request, connections, seconds / 2).rate for connections in (2, 4, 8))
    found = offer(address, request, _TIMES * peak, seconds)
    share = found.rate / peak
    reached = (
        f"{share:.0%}: {BATCH * found.rate:,.0f} of {BATCH * peak:,.0f} images/s; "
        f"of {found.sent} requests {len(found.refused)} refused, {found.other} failed"
    )
    work = f"`/score` of {BATCH} images as npy, offered {_TIMES} times what it can do"
    yield Row(f"{work}: goodput", "95 % of the peak", reached, share >= 0.95 and not found.other)
    if not found.refused:
        yield Row(f"{work}: refusals, p99", "10 ms", "none was refused", None)
        return
    p99 = found.refusal(0.99)
    reached = f"{1000 * p99:.1f} ms, p50 {1000 * found.refusal(0.5):.1f} ms"
    yield Row(f"{work}: refusals, p99", "10 ms", reached, p99 <= _PROMPT)


def memory(model: Prepared, process: int, address: str, requests: int, patience: float) -> Iterator[Row]:
    request = sluice(model, "auto").ask(model.digits[0])
    done, sizes, began = 0, [], time.monotonic()
    while done < requests and time.monotonic() - began < patience:
        load = drive(address, request, 32, 5)
        done += load.requests
        sizes.append((done, processes.resident_bytes(process)))
        print(f"{done:,} requests, {sizes[-1][1] / 1e6:.0f} MB", file=sys.stderr, flush=True)
    weights = model.weights.stat().st_size
    beyond = max(size for _, size in sizes) - weights
    work = f"memory over {done:,} requests of one PNG"
    yield Row(
        f"{work}: beyond the model's {weights / 1e6:.0f} MB", "400 MB", f"{beyond / 1e6:.0f} MB", beyond <= _MEMORY
    )
    early = next(size for count, size in sizes if count >= done / 10)
    growth = sizes[-1][1] - early
    yield Row(f"{work}: growth after the first tenth", "10 MB", f"{growth / 1e6:+.1f} MB", growth <= _FLAT)
