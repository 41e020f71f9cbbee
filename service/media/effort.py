"""How many pixels one piece of decoding may unfold, and whether anybody still waits for it.

A few bytes of PNG may hold millions of pixels. Whoever decodes sets an ``Effort``; the picture decoder spends it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from service.protocol.errors import TooLarge

T = TypeVar("T")


class Abandoned(Exception):
    """Nobody waits for what is being decoded any more."""


class Effort:
    """Pixels that may still be decoded. ``abandon`` may be called from another thread."""

    def __init__(self, pixels: int) -> None:
        self._most = self._left = pixels
        self._abandoned = False

    def abandon(self) -> None:
        """The decoding ends before the next picture."""
        self._abandoned = True

    def spent_by(self, work: Callable[[], T]) -> T:
        """Do some work, whose pixels in this thread are part of the effort."""
        token = _effort.set(self)
        try:
            return work()
        finally:
            _effort.reset(token)

    def spend(self, pixels: int, field: str) -> None:
        """Before pixels are decoded. Raises TooLarge, or Abandoned."""
        if self._abandoned:
            raise Abandoned
        self._left -= pixels
        if self._left < 0:
            raise TooLarge(f"the pictures of one request may have {self._most} pixels together", field)


_effort: ContextVar[Effort | None] = ContextVar("effort", default=None)


def spend(pixels: int, field: str) -> None:
    """Spend pixels of the effort of this thread; without one there is no limit. Raises TooLarge, or Abandoned."""
    effort = _effort.get()
    if effort is not None:
        effort.spend(pixels, field)
