"""From the device's thread to the event loop: what one tick finishes arrives together."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from service.columns import Columns
from service.gathering import Gathering
from service.jobs import Job


class Arrivals:
    """Wakes those who wait for jobs, and the event loop once for all whose jobs end in the same tick."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gathering: Gathering) -> None:
        self._loop, self._gathering = loop, gathering
        self._ended: deque[asyncio.Future[None]] = deque()
        self._called = False

    async def of(self, job: Job) -> Columns:
        """The job's results, or what ended it. Cancelling the wait cancels the job: its rows are dropped."""
        waiter = self._loop.create_future()
        job.future.add_done_callback(lambda _: self._post(waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            job.future.cancel()
            raise
        return job.future.result()

    def _post(self, waiter: asyncio.Future[None]) -> None:
        self._ended.append(waiter)
        if not self._called:
            self._called = True
            self._gathering.hold()
            with suppress(RuntimeError):  # the loop has closed, and nobody waits any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._called = False  # first: whoever posts from now on calls again
        while self._ended:
            waiter = self._ended.popleft()
            if not waiter.done():
                waiter.set_result(None)
        self._gathering.stir()
