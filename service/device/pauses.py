"""Pauses of a long step, in which work of one tick is done, and how the two sorts of work share the time.

On a CPU one step of a large flow takes several times as long as a score. Without pauses a score would wait for all of
it.
"""

from __future__ import annotations

from collections.abc import Callable

from service.device.stopwatch import Stopwatch

_LOOK_EVERY = 0.0005
"""Seconds that a step computes, at least, between two looks at what has come. A look takes a tenth of it or less."""


class Balance:
    """Seconds by which work of one tick is ahead of work of many ticks: ``lead``; below 0 it is behind.

    The sort of work that is behind goes first. Neither saves up what it does not use: a lead is at most the last tick's
    time, and what one-tick work is behind at most the time of the last step.
    """

    def __init__(self) -> None:
        self.lead = 0.0

    def begin_step(self) -> None:
        """A step of work of many ticks begins, although one-tick work may be behind: none of it waits."""
        self.lead = max(self.lead, 0.0)

    def stepped(self, seconds: float) -> None:
        """A step has computed for so long, since it began or since the last call."""
        self.lead -= seconds

    def ticked(self, seconds: float) -> None:
        """A tick of one-tick work has taken so long."""
        self.lead = min(self.lead, 0.0) + seconds


class Pauses:
    """The pauses of one step, at most one at each place that it is called from. The step's time counts as its own.

    A pause is taken once the step has computed for as long as one-tick work was ahead of it. ``between``, where given,
    is what is done in it; its ``error``, if any, is not the step's, and ends the pauses.
    """

    def __init__(self, watch: Stopwatch, balance: Balance, between: Callable[[], None] | None) -> None:
        self._watch, self._balance, self._between = watch, balance, between
        self._settled = 0.0
        self.error: Exception | None = None
        balance.begin_step()

    def __call__(self) -> None:
        """A place where the step can pause."""
        since = self._watch.seconds - self._settled
        if since < max(self._balance.lead, _LOOK_EVERY) or self._between is None:
            return
        self.settle()
        with self._watch.paused():
            try:
                self._between()
            except Exception as error:
                self.error, self._between = error, None

    def settle(self) -> None:
        """Count what the step has computed since this was called last."""
        seconds = self._watch.seconds
        self._balance.stepped(seconds - self._settled)
        self._settled = seconds
