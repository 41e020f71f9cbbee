"""Open-loop load: requests are sent at fixed times, however many are still unanswered.

wrk waits for an answer before it asks again, so it slows down with its server. Independent users do not.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.side_by_side.load import Request

_PATIENCE = 60.0
"""Seconds to wait at the end for answers that are still missing."""


@dataclass
class Offered:
    """The answers to the requests of one run of ``seconds``; all times in seconds.

    ``good`` holds the time of each answer with 200 since the run began. ``refused`` holds the duration of each answer
    with 429, from the moment its request was sent, and ``took`` that of each answer with 200. ``other`` counts requests
    with any other answer, or with none.
    """

    seconds: float
    sent: int = 0
    good: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    other: int = 0

    @property
    def rate(self) -> float:
        """Good answers per second while requests were sent."""
        return sum(moment <= self.seconds for moment in self.good) / self.seconds

    def refusal(self, quantile: float) -> float:
        """A quantile, from 0 to 1, of the durations of refusals."""
        return sorted(self.refused)[min(int(quantile * len(self.refused)), len(self.refused) - 1)]


def offer(
    address: str | Sequence[str], request: Request, rate: float, seconds: float, seed: int | None = None
) -> Offered:
    """Send a request ``rate`` times a second for ``seconds``, and wait for the answers still missing.

    They are evenly spaced, or with a seed at random moments, as those of independent users are. Several addresses get
    requests in turn.
    """
    addresses = [address] if isinstance(address, str) else list(address)
    return asyncio.run(_offer(addresses, request, moments(rate, seconds, seed), seconds))


def moments(rate: float, seconds: float, seed: int | None = None) -> list[float]:
    """When ``offer`` sends requests, in seconds from its beginning."""
    if seed is None:
        return [number / rate for number in range(int(rate * seconds))]
    chance, now, found = random.Random(seed), 0.0, []
    while (now := now + chance.expovariate(rate)) < seconds:
        found.append(now)
    return found


async def _offer(addresses: list[str], request: Request, when: list[float], seconds: float) -> Offered:
    servers = [_connections(address, request) for address in addresses]
    turns = itertools.cycle(servers)
    found = Offered(seconds)
    under_way: set[asyncio.Task[None]] = set()
    began = time.perf_counter()
    for moment in when:
        await asyncio.sleep(max(began + moment - time.perf_counter(), 0))
        task = asyncio.create_task(_one(next(turns), found, began))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        _, pending = await asyncio.wait(under_way, timeout=_PATIENCE)
        found.other += len(pending)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    for connections in servers:
        connections.close()
    return found


def _connections(address: str, request: Request) -> _Connections:
    url = urlsplit(address)
    head = f"POST {request.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(request.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return _Connections(url.hostname or "", url.port or 80, head.encode() + b"\r\n" + request.body)


async def _one(connections: _Connections, found: Offered, began: float) -> None:
    found.sent += 1
    try:
        status, seconds = await connections.ask()
    except (OSError, EOFError, ValueError):
        found.other += 1
        return
    if status == 200:
        found.good.append(time.perf_counter() - began)
        found.took.append(seconds)
    elif status == 429:
        found.refused.append(seconds)
    else:
        found.other += 1


class _Connections:
    """Connections to one server, each reused once its answer has been read."""

    def __init__(self, host: str, port: int, message: bytes) -> None:
        self._host, self._port, self._message = host, port, message
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> tuple[int, float]:
        """Status of the answer, and seconds from sending to its last byte. Raises OSError, EOFError, ValueError."""
        reader, writer = self._open() or await asyncio.open_connection(self._host, self._port)
        try:
            began = time.perf_counter()
            writer.write(self._message)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status, length = status_and_length(head)
            await reader.readexactly(length)
            seconds = time.perf_counter() - began
        except BaseException:
            writer.close()
            raise
        # A server that refuses a request before it has read the body closes the connection.
        if "connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return status, seconds

    def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """An idle connection that the server has not closed meanwhile, if there is one."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


def status_and_length(head: str) -> tuple[int, int]:
    """Status and body length out of an answer's head in lower case. Raises ValueError where no length is given."""
    lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if "content-length" not in fields:
        raise ValueError("an answer of unknown length")
    return int(lines[0].split(" ", 2)[1]), int(fields["content-length"])
