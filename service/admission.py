"""Admission: a bounded account of the work that waits, in item-ticks, kept before anything is decoded."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from types import TracebackType

from service.errors import Problem, QueueFull, TooLarge

_LONGEST_WAIT = 3600
_MEMORY = 0.9
"""Weight of the past in the measured pace: about the last ten ticks count."""


class Admission:
    """Counts admitted item-ticks against a bound and measures how fast the device works them off."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.waiting = 0
        self.requests = 0
        """Requests that hold a ticket."""
        self._pace: float | None = None
        self._lock = threading.Lock()

    def admit(self, cost: int) -> Ticket:
        """A ticket for ``cost`` item-ticks. Raises QueueFull, or TooLarge when no empty queue would ever hold it."""
        ticket = Ticket(self)
        try:
            ticket.resize(cost)
        except Problem:
            ticket.close()
            raise
        return ticket

    def measure(self, item_ticks: int, seconds: float) -> None:
        """Learn the pace from one tick."""
        pace = item_ticks / max(seconds, 1e-9)
        with self._lock:
            self._pace = pace if self._pace is None else _MEMORY * self._pace + (1 - _MEMORY) * pace

    def retry_after(self) -> int:
        """Whole seconds in which what waits now will be worked off; 1 before any tick was measured."""
        if self._pace is None:
            return 1
        return min(max(math.ceil(self.waiting / self._pace), 1), _LONGEST_WAIT)

    def spend(self, shares: Iterable[tuple[Ticket, int]]) -> None:
        """Take item-ticks that the device has worked off out of the tickets that held them."""
        with self._lock:
            for ticket, item_ticks in shares:
                ticket._change(-min(item_ticks, ticket._held))


class Ticket:
    """One request's share of the queue, at first of none of it.

    Used as a context, it gives back at the end whatever is left.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._lock = admission._lock
        self._held = 0
        self._closed = False
        with self._lock:
            admission.requests += 1

    def resize(self, cost: int) -> None:
        """Hold ``cost`` item-ticks from now on: a better estimate than the last. Raises QueueFull, TooLarge."""
        admission = self._admission
        if cost > admission.bound:
            raise TooLarge(f"the request asks for {cost} item-ticks; the queue holds {admission.bound}")
        with self._lock:
            more = cost - self._held
            if more > 0 and admission.waiting + more > admission.bound:
                raise QueueFull(admission.retry_after())
            self._change(more)

    def hand_over(self) -> Ticket:
        """A ticket that holds what this one held, and outlives it."""
        heir = Ticket(self._admission)
        with self._lock:
            heir._held, self._held = self._held, 0
        return heir

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._change(-self._held)
                self._admission.requests -= 1
                self._closed = True

    def _change(self, difference: int) -> None:
        """Hold so much more. Whoever calls holds the lock."""
        self._held += difference
        self._admission.waiting += difference

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
