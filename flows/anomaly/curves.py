"""Curves that tell how rare a value is, read from many ordinary values and drawn on beyond them."""

from __future__ import annotations

import torch
from torch import Tensor

KNOTS = 128
"""Points of a curve."""
RAREST = 4.0
"""-log10 of the rarest share that is read from ordinary values. Few values would tell of a rarer one."""


def log_shares(device: torch.device, rarest: float = RAREST) -> Tensor:
    """-log10 of the shares (Q,) at which a curve is kept: the rare end is as fine as the common one."""
    return torch.linspace(0, rarest, KNOTS, dtype=torch.float64, device=device)


def quantiles(values: Tensor, rarest: float = RAREST) -> Tensor:
    """The values (Q,) float32, strictly rising, that the shares of ``log_shares`` exceed."""
    ordered = values.double().flatten().sort().values
    place = (1 - 10 ** -log_shares(values.device, rarest)) * (len(ordered) - 1)
    below = place.floor().long()
    above = (below + 1).clamp_max(len(ordered) - 1)
    found = ordered[below] + (place - below) * (ordered[above] - ordered[below])
    # Equal neighbours would make the slope between them infinite. The step is far above float32's last bit.
    step = 1e-5 * max(float(found.abs().max()), 1e-3)
    return (found + step * torch.arange(KNOTS, device=found.device)).float()


def interpolated(knots: Tensor, heights: Tensor, values: Tensor, end: int = KNOTS // 8) -> Tensor:
    """The piecewise linear curve through (knots, heights), both (Q,), at values of any shape.

    Below the first knot it has the first height. Beyond the last it goes on with the mean slope of the last ``end``
    pieces.
    """
    values = values.contiguous()
    upper = torch.searchsorted(knots, values).clamp(1, len(knots) - 1)
    left, right, low, high = (part.take(place) for part in (knots, heights) for place in (upper - 1, upper))
    inside = low + (values - left).clamp_min(0) * (high - low) / (right - left)
    back = len(knots) - 1 - end
    slope = (heights[-1] - heights[back]) / (knots[-1] - knots[back])
    return torch.where(values > knots[-1], heights[-1] + (values - knots[-1]) * slope, inside)


class Curve:
    """``interpolated`` read off a table of ``CELLS`` equal pieces, which takes a third of the time.

    ``knots`` and ``heights`` are (Q,).
    """

    CELLS = 4096

    def __init__(self, knots: Tensor, heights: Tensor, end: int) -> None:
        knots, heights = knots.double(), heights.double()
        low, high = float(knots[0]), float(knots[-1])
        self._low, self._cells = low, self.CELLS / (high - low)
        places = torch.arange(self.CELLS + 2, dtype=torch.float64, device=knots.device)  # one piece beyond the end
        found = interpolated(knots, heights, low + places / self._cells, end)
        slopes = found.diff()
        self._slopes, self._starts = slopes.float(), (found[:-1] - slopes * places[:-1]).float()

    def at(self, values: Tensor) -> Tensor:
        """The heights float32 at values of any shape."""
        place = ((values.float() - self._low) * self._cells).clamp_min_(0)
        cell = place.clamp_max(self.CELLS).long()
        return torch.addcmul(self._starts.take(cell), self._slopes.take(cell), place)
