"""Load from an address of its own: a service without keys takes an address for a client, and wrk's is 127.0.0.1.

On Linux, every address of 127.0.0.0/8 is one of the machine. The time that this client itself needs is measured too.
"""

from __future__ import annotations

import selectors
import socket
import time
from urllib.parse import urlsplit

import numpy as np

from bench.side_by_side.load import Load, NoLoad, Request

_TIMEOUT = 30.0
"""Seconds after which requests count as broken."""


class _Connection:
    """One that asks again as soon as it has its answer."""

    def __init__(self, address: str, source: str) -> None:
        url = urlsplit(address)
        self.socket = socket.create_connection((url.hostname, url.port), _TIMEOUT, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.began = 0.0

    def ask(self, wire: bytes) -> None:
        self.began = time.perf_counter()
        self.socket.sendall(wire)

    def status(self) -> int | None:
        """Take what has come; the status of the answer once it is whole. Raises ConnectionError for half of one."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed without an answer")
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        _, found, length = head.lower().partition(b"\r\ncontent-length:")
        if len(body) < (int(length.split(b"\r\n", 1)[0]) if found else 0):
            return None
        self._buffer = b""
        return int(head[9:12])


def drive_from(source: str, address: str, request: Request, connections: int, seconds: float) -> Load:
    """What ``drive`` does, from an address of this machine. Raises NoLoad, and OSError where nobody listens."""
    fields = {"Host": "sluice", "Content-Length": str(len(request.body)), **request.headers}
    lines = [f"POST {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    wire = "\r\n".join(lines).encode() + b"\r\n\r\n" + request.body
    latencies: list[float] = []
    refused = broken = 0
    with selectors.DefaultSelector() as selector:
        every = [_Connection(address, source) for _ in range(connections)]
        began = time.perf_counter()
        for one in every:
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.ask(wire)
        while (now := time.perf_counter()) < began + seconds and selector.get_map():
            for key, _ in selector.select(began + seconds - now):
                one = key.data
                try:
                    status = one.status()
                    if status is None:
                        continue
                    latencies.append(time.perf_counter() - one.began)
                    refused += status >= 400
                    one.ask(wire)
                except OSError:
                    broken += 1
                    selector.unregister(one.socket)
        took = time.perf_counter() - began
        broken += sum(time.perf_counter() - one.began > _TIMEOUT for one in every)
        for one in every:
            one.socket.close()
    if not latencies:
        raise NoLoad(f"no request from {source} was answered")
    p50, p99 = 1e3 * np.percentile(latencies, [50, 99])
    return Load(took, len(latencies), float(p50), float(p99), refused, broken)
