"""Memory that was freed and that the C library keeps: given back to the machine.

glibc keeps what was freed between blocks that are still in use, and Python keeps objects that refer to each other in a
circle until its collector comes by, which may be long after a busy moment. Without this, an api process holds on to
most of what the busiest moment of its life needed, and grows a little with each one that is busier.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from contextlib import suppress

_EVERY = 10.0
"""Seconds between two times while there is work: what is freed is taken again by the next requests, and each page of it
costs time."""
_REST = 2.0
"""Seconds without work after which memory is given back, once."""


class Trimmer:
    """Gives memory back from time to time, for a process that looks in again and again."""

    def __init__(self) -> None:
        self._at = self._worked = time.monotonic()
        self._state: object = None

    def look(self, state: object) -> None:
        """Give memory back if it is time to. ``state`` is anything that changes as the process works."""
        now = time.monotonic()
        if state != self._state:
            self._state, self._worked = state, now
        if self._at < self._worked and (now - self._at >= _EVERY or now - self._worked >= _REST):
            gc.collect()  # takes milliseconds: what the process began with is frozen
            trim()
            self._at = now


def trim() -> None:
    """Give back every free page. Takes a few milliseconds. Does nothing where the C library is not glibc."""
    if _trim is not None:
        _trim(0)


def _found() -> Callable[[int], int] | None:
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            function: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
            return function
    return None


_trim = _found()
