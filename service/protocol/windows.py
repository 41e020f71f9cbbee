"""The part of a picture of any size on which an inpainting works: what is hidden, and what it depends on around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MARGIN = 24
"""Pixels around what is hidden that a window holds: a net of three blocks looks 16 to 20 pixels far."""
MOST_PIXELS = 256**2
"""Of a window. The memory and the time of a step grow with them."""
_BEGIN, _END = 8, 4
"""A window begins at multiples of 8, where the order of a lattice flow's pixels repeats; its sides are cells of 4."""
_COST = 64**2
MOST_COST = MOST_PIXELS // _COST
"""Item-ticks of one step of the largest window."""

Picture = NDArray[np.uint8]


class Window(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a picture; the ends may lie beyond its border."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def pixels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def cost(self) -> int:
        """Item-ticks of one step: one for each 64x64 pixels begun."""
        return -(-self.pixels // _COST)

    def cut(self, picture: Picture) -> Picture:
        """A picture (1, H, W[, C]) -> the window of it. Beyond the border its last pixels are repeated."""
        rows = np.arange(self.top, self.bottom).clip(max=picture.shape[1] - 1)
        columns = np.arange(self.left, self.right).clip(max=picture.shape[2] - 1)
        part: Picture = np.ascontiguousarray(picture[:, rows[:, None], columns])
        return part

    def hidden(self, hidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where the window is to be filled in, given where the picture (1, H, W[, C]) is: also beyond the border.

        Nothing is, where nothing of the picture is hidden.
        """
        part = np.full((1, *self.shape, *hidden.shape[3:]), hidden.any())
        own = hidden[:, self.top : self.bottom, self.left : self.right]
        part[:, : own.shape[1], : own.shape[2]] = own
        return part

    def paste(self, parts: Picture, picture: Picture) -> Picture:
        """The picture (1, H, W[, C]) with each of the windows (N, h, w[, C]) in its place, (N, H, W[, C])."""
        whole = np.repeat(picture, len(parts), axis=0)
        place = whole[:, self.top : self.bottom, self.left : self.right]
        place[:] = parts[:, : place.shape[1], : place.shape[2]]
        return whole


def window_of(hidden: NDArray[np.bool_]) -> Window:
    """The window of a picture of which (1, H, W[, C]) is to be filled in."""
    places = hidden[0].reshape(*hidden.shape[1:3], -1).any(axis=2)
    top, bottom = _span(places.any(axis=1))
    left, right = _span(places.any(axis=0))
    return Window(top, bottom, left, right)


def _span(hidden: NDArray[np.bool_]) -> tuple[int, int]:
    found = hidden.nonzero()[0]
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, 0)
    start = max(first - MARGIN, 0) // _BEGIN * _BEGIN
    end = min(last + 1 + MARGIN, len(hidden))
    return start, max(-(-end // _END) * _END, start + 2 * _END)
