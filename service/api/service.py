"""What the routes share: settings, the client of the devices, metrics, and the threads that decode."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from typing import TypeVar

from service.api.authority import Authority
from service.api.guard import BytesInFlight
from service.api.request_metrics import RequestMetrics
from service.api.tracing import Tracing
from service.api.turnstile import Turnstile
from service.media.effort import Effort
from service.protocol.client import device_lost
from service.protocol.defaults import DRAWN_SEED_BITS
from service.protocol.devices import Devices
from service.protocol.errors import Unavailable, Unknown, WrongValue
from service.protocol.model_info import ModelInfo
from service.settings import Settings

T = TypeVar("T")

_TRIVIAL = 16 * 1024
"""Bytes up to which decoding and encoding are done on the event loop: a thread would cost more."""
_BEHIND = 2.0
"""Seconds that a request may wait for news of its model before it is refused: as long as its client would wait."""
_LARGE = 2**20
"""Bytes from which decoding and encoding have threads of their own."""


class State(Enum):
    """What the service is doing, as its probes tell it."""

    STARTING = "starting"
    READY = "ready"
    EMPTY = "no model"
    DRAINING = "draining"
    FAILED = "failed"


class Service:
    """One api process's view of the service. ``start`` before use, ``stop`` at the end."""

    def __init__(self, settings: Settings, device: Devices) -> None:
        self.settings, self.device = settings, device
        self.authority = None if settings.keys_file is None else Authority(settings.keys_file, len(device.up))
        """Who may do what; None where requests need no key."""
        self.turnstile = Turnstile()
        self.metrics = RequestMetrics()
        self.bodies = BytesInFlight(settings.max_bytes_in_flight)
        self.tracing = Tracing.from_environment()
        """Makes spans, where OpenTelemetry is configured."""
        self.gathered: Callable[[bytes], Awaitable[bytes]] | None = None
        """Puts the metrics of the other replicas beside this one's, where there are several."""
        self.draining = False
        """Whether the service says "not ready" and goes on answering."""
        self._light = ThreadPoolExecutor(settings.decoders, "sluice-decode")
        self._heavy = ThreadPoolExecutor(settings.decoders, "sluice-decode-large")

    async def start(self) -> None:
        """Connect to the devices; probes answer meanwhile."""
        for pool in (self._light, self._heavy):
            _begin_threads(pool, self.settings.decoders)
        await self.device.start()

    async def stop(self) -> None:
        await self.device.stop()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.stop)
        for pool in (self._light, self._heavy):
            pool.shutdown(wait=False, cancel_futures=True)

    def drain(self) -> None:
        """From now on say "not ready", and go on answering."""
        self.draining = True

    @property
    def state(self) -> State:
        if self.device.failed or self.device.lost:
            return State.FAILED
        if self.draining:
            return State.DRAINING
        catalogue = self.device.catalogue
        if catalogue.unready() is None:
            return State.READY
        return State.STARTING if catalogue.starting else State.EMPTY

    async def model(self, reference: str | None) -> ModelInfo:
        """The model that a request means. Raises Unknown or Unavailable.

        Before either, the devices are asked whether there is news: another api process may know of it already.
        """
        try:
            return self._known(reference)
        except (Unknown, Unavailable):
            await self.catch_up(_BEHIND)
            return self._known(reference)

    async def catch_up(self, patience: float) -> None:
        """Hear what the devices have told other api processes already, if they answer within ``patience`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.device.catch_up()

    def _known(self, reference: str | None) -> ModelInfo:
        if self.device.lost:
            raise device_lost()
        return self.device.catalogue.get(reference)

    async def compute(self, work: Callable[[], T], size: int) -> T:
        """Decode or encode ``size`` bytes: beside the event loop unless it is trivial, and not in front of others.

        What is large has threads of its own, so that what is small does not wait behind it. When the request ends
        before the work, pictures that are not begun are left out.
        """
        effort = Effort(self.settings.max_pixels)
        if size <= _TRIVIAL:
            return effort.spent_by(work)

        def run() -> T:
            return effort.spent_by(work)

        pool = self._heavy if size >= _LARGE else self._light
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, run)
        except asyncio.CancelledError:
            effort.abandon()
            raise


def _begin_threads(pool: ThreadPoolExecutor, count: int) -> None:
    """Start all threads of a pool now: when memory is short, the system gives none for the stack of another."""
    every = threading.Barrier(count)
    try:
        for _ in range(count):
            pool.submit(every.wait)
    except RuntimeError:
        every.abort()  # those that have begun would wait for ever
        raise


def bound(field: str, value: int, limit: int) -> None:
    """Raises WrongValue when a count is not within 1 and its limit."""
    if not 1 <= value <= limit:
        raise WrongValue(f"{field} must be between 1 and {limit}", field)


def draw_seed() -> int:
    """A seed for a request that brings none."""
    return secrets.randbits(DRAWN_SEED_BITS)
