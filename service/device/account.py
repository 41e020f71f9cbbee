"""The account of the work that waits in the device, in item-ticks, and of how fast the device works it off."""

from __future__ import annotations

import math

_MEMORY = 0.9
"""Weight of the past in the measured pace: about the last ten ticks count."""


class Account:
    """Item-ticks of all jobs that are not done. The api processes admit requests by it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.jobs = 0
        self.pace: float | None = None
        """Item-ticks a second; None before any tick."""

    def open(self, cost: int) -> Holding:
        """The item-ticks of a job that has just come. A warm-up costs none, and is no request."""
        self.waiting += cost
        self.jobs += cost > 0
        return Holding(self, cost)

    def retry_after(self) -> int:
        """Whole seconds in which the device works off what waits now; 1 before any tick was measured."""
        return max(math.ceil(self.waiting / self.pace), 1) if self.pace else 1

    def measure(self, item_ticks: int, seconds: float) -> None:
        """Learn the pace from one tick."""
        pace = item_ticks / max(seconds, 1e-9)
        self.pace = pace if self.pace is None else _MEMORY * self.pace + (1 - _MEMORY) * pace


class Holding:
    """What one job still holds of the account."""

    __slots__ = ("_account", "_left", "counted")

    def __init__(self, account: Account, cost: int) -> None:
        self._account, self._left, self.counted = account, cost, cost > 0

    def spend(self, item_ticks: int) -> None:
        """The device has worked off this much of it."""
        spent = min(item_ticks, max(self._left, 0))
        self._left -= spent
        self._account.waiting -= spent

    def close(self) -> None:
        """The job is over, whatever it still held. Closing twice changes nothing."""
        if self._left >= 0:
            self._account.waiting -= self._left
            self._account.jobs -= self.counted
            self._left = -1
