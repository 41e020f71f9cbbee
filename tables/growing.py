"""A column's numbers, appended block by block in one piece of memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GROWTH = 8
"""An eighth more room is made when it is used up: little memory lies idle, and the copies add up to little time."""


class GrowingNumbers:
    """Numbers (N,), float64, of as many blocks as are added.

    The pieces that pyarrow reads a file in would share memory with those of other columns, and none of it would be free
    before all columns are.

    >>> numbers = GrowingNumbers()
    >>> numbers.add(np.array([1.0, np.nan]))
    >>> numbers.add(np.array([2.0]))
    >>> numbers.present()
    2
    >>> numbers.taken()
    array([ 1., nan,  2.])
    """

    def __init__(self) -> None:
        self._room = np.empty(0)
        self._count = self._present = 0

    def add(self, block: npt.NDArray[np.float64]) -> None:
        """Append a block (B,)."""
        end = self._count + len(block)
        if end > len(self._room):
            # Nothing else refers to the room, and the operating system moves large pieces without a copy.
            self._room.resize(end + end // _GROWTH, refcheck=False)
        self._room[self._count : end] = block
        self._count = end
        self._present += int(np.isfinite(block).sum())

    def present(self) -> int:
        """How many of the numbers are finite."""
        return self._present

    def taken(self) -> npt.NDArray[np.float64]:
        """All numbers (N,); none are left here."""
        self._room.resize(self._count, refcheck=False)
        found = self._room
        self._room, self._count, self._present = np.empty(0), 0, 0
        return found
