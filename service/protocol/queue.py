"""The queues of the devices as an api process sees them, so that work is admitted before anything of it is decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from service.protocol import messages as m
from service.protocol.errors import QueueFull, TooLarge

_LONGEST_WAIT = 3600
"""Seconds: the most that a client is told to wait."""


class Backlog:
    """The work that waits in one device, in item-ticks: what the device reported, and what was sent to it since."""

    def __init__(self) -> None:
        self.pace: float | None = None
        """Item-ticks a second that the device works off; None before any tick was measured."""
        self._reported = 0
        self._sent: deque[tuple[int, int]] = deque()
        self._sent_cost = 0

    @property
    def waiting(self) -> int:
        return self._reported + self._sent_cost

    def sent(self, number: int, cost: int) -> None:
        self._sent.append((number, cost))
        self._sent_cost += cost

    def report(self, report: m.Report) -> None:
        self._reported, self.pace = report.waiting, report.pace
        while self._sent and self._sent[0][0] <= report.seen:
            self._sent_cost -= self._sent.popleft()[1]

    def reset(self) -> None:
        """The device has died, and its work with it."""
        self._reported, self.pace, self._sent_cost = 0, None, 0
        self._sent.clear()


class Queue:
    """Admits work against ``bound`` item-ticks: what waits in all devices together, and what is reserved."""

    def __init__(self, bound: int, backlogs: Sequence[Backlog]) -> None:
        self.bound, self._backlogs = bound, tuple(backlogs)
        self.reserved = 0

    def reserve(self) -> Reservation:
        """Room for one item-tick. Raises QueueFull."""
        reservation = Reservation(self)
        reservation.resize(1)
        return reservation

    @property
    def waiting(self) -> int:
        """Item-ticks that wait, reservations included."""
        return self.reserved + sum(backlog.waiting for backlog in self._backlogs)

    def retry_after(self) -> int:
        """Whole seconds in which the devices work off what waits now; 1 before any tick was measured."""
        pace = self._pace
        if not pace:
            return 1
        return min(max(-(-self.waiting // max(int(pace), 1)), 1), _LONGEST_WAIT)

    @property
    def seconds(self) -> float:
        """Seconds in which the devices work off what waits; 0 before any tick was measured."""
        return self.waiting / self._pace if self._pace else 0.0

    @property
    def _pace(self) -> float:
        return sum(backlog.pace or 0.0 for backlog in self._backlogs)


class Reservation:
    """Item-ticks that a request which is not yet sent will need. A context that gives back what it holds."""

    __slots__ = ("_held", "_queue")

    def __init__(self, queue: Queue) -> None:
        self._queue, self._held = queue, 0

    def resize(self, cost: int) -> None:
        """Hold ``cost`` item-ticks from now on. Raises QueueFull, or TooLarge where no empty queue would hold them."""
        queue = self._queue
        if cost > queue.bound:
            raise TooLarge(f"the request asks for {cost} item-ticks; the queue holds {queue.bound}")
        more = cost - self._held
        if more > 0 and queue.waiting + more > queue.bound:
            raise QueueFull(queue.retry_after())
        queue.reserved += more
        self._held = cost

    def release(self) -> None:
        """Give back what is held: the work was sent, or the request is over."""
        self._queue.reserved -= self._held
        self._held = 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
