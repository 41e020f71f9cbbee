"""The time that a tick computes, without what is done in its pauses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Runs from when it is made. ``resume`` is called at the end of each pause."""

    def __init__(self, resume: Callable[[], None] = lambda: None) -> None:
        self._resume = resume
        self._began = time.perf_counter()
        self._paused = 0.0

    @property
    def seconds(self) -> float:
        """Seconds so far, without the pauses that have ended."""
        return time.perf_counter() - self._began - self._paused

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Does not count what happens meanwhile."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._resume()
            self._paused += time.perf_counter() - began
