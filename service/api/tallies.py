"""Counts that are written down together, ten times a second.

prometheus_client writes each change into a file that all api processes share. A request changes a dozen counts, and
writing each at once took a tenth of the time that an api process spends on a small request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_PERIOD = 0.1
"""Seconds for which a count may lie in this process alone, where the others do not see it."""


class Tallies:
    """The tallies of one event loop. ``flush`` before the counts are read in this process."""

    def __init__(self) -> None:
        self._changed: list[Tally] = []

    def of(self, write: Callable[[float], None]) -> Tally:
        """A tally whose sum ``write`` adds to a count."""
        return Tally(self._changed, self.flush, write)

    def flush(self) -> None:
        """Write down what has been counted since."""
        changed = self._changed[:]
        self._changed.clear()
        for tally in changed:
            tally.write()


class Tally:
    """One count."""

    __slots__ = ("_changed", "_flush", "_listed", "_sum", "_write")

    def __init__(self, changed: list[Tally], flush: Callable[[], None], write: Callable[[float], None]) -> None:
        self._changed, self._flush, self._write = changed, flush, write
        self._sum, self._listed = 0.0, False

    def add(self, amount: float = 1.0) -> None:
        self._sum += amount
        if not self._listed:
            if not self._changed:
                asyncio.get_running_loop().call_later(_PERIOD, self._flush)
            self._listed = True
            self._changed.append(self)

    def write(self) -> None:
        amount, self._sum, self._listed = self._sum, 0.0, False
        if amount:
            self._write(amount)
