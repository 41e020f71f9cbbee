"""Small requests that come together are computed together: none is taken while the event loop brings more of them."""

from __future__ import annotations

import asyncio

from service.scheduler import Scheduler

_QUIET = 4
"""Passes of the event loop without anything new: a request takes a few from its first byte to the queue."""


class Gathering:
    """Holds small requests back while the event loop is at work on others, and no longer.

    Clients that wait for their answers ask again once they have them. While the event loop reads and answers, it and
    the device's thread would take Python's interpreter from each other after every kernel, for a batch of the few
    that have come so far. Where nothing else comes a request waits for a few empty passes of the loop, which take
    microseconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, scheduler: Scheduler) -> None:
        self._loop, self._scheduler = loop, scheduler
        self._quiet, self._looking = 0, False

    def stir(self) -> None:
        """On the event loop: a request has come or been answered, so that others may follow."""
        self._quiet = 0
        if not self._looking:
            self._looking = True
            self._scheduler.hold()
            self._loop.call_soon(self._look)

    def hold(self) -> None:
        """On any thread: answers are on their way to the event loop, which will stir."""
        self._scheduler.hold()

    def _look(self) -> None:
        self._quiet += 1
        if self._quiet > _QUIET:
            self._looking = False
            self._scheduler.release()
        else:
            self._loop.call_soon(self._look)
