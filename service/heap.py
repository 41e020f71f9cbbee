"""Memory that was freed and that the C library keeps: given back to the machine.

glibc keeps what was freed between blocks that are still in use. Without this, an api process holds on to most of what
the busiest moment of its life needed, and grows a little with each one that is busier.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from contextlib import suppress

_EVERY = 10.0
"""Seconds between two times: freed memory is taken again by the next requests, and each page of it costs time."""


class Trimmer:
    """Gives memory back from time to time, for a process that looks in again and again."""

    def __init__(self) -> None:
        self._at, self._after = time.monotonic(), 0

    def look(self, done: int) -> None:
        """Give memory back if it is time to, and if ``done`` has changed, which counts what the process has done."""
        now = time.monotonic()
        if done != self._after and now - self._at >= _EVERY:
            trim()
            self._at, self._after = now, done


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
