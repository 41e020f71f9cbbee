"""Watching a service while it is under attack: how long its probes take, how much memory its processes hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.reliability.figures import Proof
from tests.service.servers import Server, wait_until


@dataclass
class Probes:
    """Seconds that each probe took, and the statuses that were not 200."""

    seconds: list[float] = field(default_factory=list)
    failures: list[object] = field(default_factory=list)

    @property
    def slowest(self) -> float:
        return max(self.seconds)


@contextmanager
def probing(server: Server, path: str = "/health/live") -> Iterator[Probes]:
    """Ask a probe every 20 ms, each time on a new connection, until the block is left."""
    probes, over = Probes(), threading.Event()

    def probe() -> None:
        while True:
            began = time.monotonic()
            try:
                status: object = httpx.get(f"{server.address}{path}", timeout=30).status_code
            except httpx.TransportError as error:
                status = repr(error)
            probes.seconds.append(time.monotonic() - began)
            if status != 200:
                probes.failures.append(status)
            if over.wait(0.02):
                return

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield probes
    finally:
        over.set()
        thread.join()


def processes(server: Server) -> set[int]:
    """The api processes and the device processes of a service."""
    found = server.children("service.api") | server.children("service.device")
    assert found
    return found


def memory(pid: int, what: str = "VmHWM") -> int:
    """Bytes of memory that a process holds: VmRSS now, VmHWM at most so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise AssertionError(what)


@contextmanager
def watching_memory(server: Server) -> Iterator[list[int]]:
    """Bytes of memory of all processes of a service together, twice a second until the block is left."""
    pids, over, found = {server.process.pid, *processes(server)}, threading.Event(), []

    def watch() -> None:
        while not over.wait(0.5):
            found.append(sum(memory(pid, "VmRSS") for pid in pids))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def settled(server: Server, proof: Proof) -> None:
    """Nothing is left of the load."""
    for gauge in ("sluice_queue_jobs", "sluice_queue_item_ticks"):
        try:
            wait_until(lambda name=gauge: server.metric(name) == 0, 10)  # type: ignore[misc]
        except AssertionError:
            proof.expect(False, f"{gauge} is {server.metric(gauge)}")
    try:
        # The question itself is one. Api processes write their counts down some times a second.
        wait_until(lambda: server.metric("sluice_requests_in_flight") <= 1, 10)
    except AssertionError:
        proof.expect(False, "requests in flight are counted that are over")
