"""The service on the device, over loopback, from one connection to hundreds."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from statistics import median, quantiles
from urllib.parse import urlsplit

import numpy as np

from bench.gpu.figures import Figures
from bench.serving import served
from model_store import Store

_CONNECTIONS = (1, 8, 64, 256, 512)


def measure(figures: Figures) -> Iterator[dict[str, object]]:
    """Requests a second and their latency, each connection with one request under way; the client is one process."""
    store = Store(figures.store)
    model = store.load(*store.resolve("mnist-nice"))
    digit = model.survey.draws[:1].numpy()
    with served(
        figures.store,
        device="cuda" if figures.device.type == "cuda" else "cpu",
        default_model="mnist-nice",
        queue_item_ticks="100000000",
    ) as (_, address):
        jobs = (
            ("score, 1 item", "/score?model=mnist-nice", _npy(digit)),
            ("score, 256 items", "/score?model=mnist-nice", _npy(np.repeat(digit, 256, axis=0))),
            ("sample, 16 items", "/sample?model=mnist-nice&n=16&seed=1", b""),
        )
        for name, path, body in jobs[:1] if figures.small else jobs:
            for connections in (1, 8) if figures.small else _CONNECTIONS:
                took = asyncio.run(_load(address, path, body, connections, 0.5 if figures.small else 3.0))
                yield {
                    "what": name,
                    "connections": connections,
                    "requests_per_second": took.rate,
                    "p50_ms": took.p50 * 1e3,
                    "p99_ms": took.p99 * 1e3,
                    "errors": took.errors,
                }


class Taken:
    """The rate, the latencies in seconds and the failures of one measurement."""

    def __init__(self, times: list[float], errors: int, elapsed: float) -> None:
        self.rate, self.errors = len(times) / elapsed, errors
        self.p50 = median(times)
        self.p99 = quantiles(times, n=100)[98] if len(times) > 1 else times[0]


async def _load(address: str, path: str, body: bytes, connections: int, length: float) -> Taken:
    host, port = urlsplit(address).hostname or "", urlsplit(address).port or 0
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-npy\r\nAccept: application/x-npy, */*\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode("ascii") + body
    times: list[float] = []
    errors = 0
    warm = time.perf_counter() + length / 3
    end = warm + length

    async def one() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(host, port)
        while (began := time.perf_counter()) < end:
            writer.write(request)
            status, *fields = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            size = next(int(field[15:]) for field in fields if field.lower().startswith(b"content-length:"))
            await reader.readexactly(size)
            if b" 200 " not in status:
                errors += 1
            elif began > warm:
                times.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return Taken(times, errors, length)


def _npy(items: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, items)
    return buffer.getvalue()
