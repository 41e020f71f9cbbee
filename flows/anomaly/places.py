"""Windows and kinds of places, which all maps of pictures of any size share; and ``Usual``, an earlier kind of map.

``Usual`` judges the maps of models that were published before there were several readings; new ones have ``Typical``
(see ``flows.anomaly.typical``). The trainer also finds out with it whether pictures are aligned.

For ``Usual``, a pixel's deviation is its log-density less what is usual at its place. Places differ although nothing is
aligned: the flow knows little of the first pixels of every 8x8 block and much of the last, and less at a border.
Deviations are averaged over Gaussian windows of several widths. How rare an average is, is read from the places of
ordinary pictures, for each window and for both directions: too likely a place, such as a smooth one in a rough surface,
is as strange as too unlikely a one. A place's score is the rarest of its windows and directions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from flows.anomaly.curves import KNOTS, RAREST, interpolated, log_shares, quantiles
from flows.errors import ShapeMismatch

BLOCK = 8
"""The order of a lattice flow's pixels repeats after this number of pixels."""
ZONES = 3 * BLOCK
"""Kinds of rows, and of columns: the first eight, those between, and the last eight, each by its place in a block."""
_DOUBT = 4.0
"""Pixels of the same place in a block that a kind of place counts besides its own: a corner has few."""
_NARROWEST, _WIDEST, _LARGEST = 1.4, 1 / 10, 24.0
"""Standard deviations of windows: the narrowest in pixels, the widest as a share of the shorter side and in pixels.

They follow one another at twice the width. The widest averages over about a quarter of the side. On a rough surface a
narrower window than 1.4 found no more, and wider ones found holes and blurred places.
"""
_REACH = 3.0
"""Standard deviations after which a window is cut off."""
_AT_ONCE = 128
"""Rows of averages that are computed by one product."""
HUGE = 1e4
_APART = 5.0
"""Windows side by side that lie beyond the end of a curve: from fewer, its slope would follow one place of one picture.

With 1 in 10,000 places whatever their number, ordinary places of few pictures scored from 2 to 60.
"""
_COMMONEST = 1.0
BEYOND = KNOTS // 3
"""Pieces of a curve whose mean slope goes on beyond its end."""


class Usual:
    """What ordinary pictures look like at their places, under one flow.

    ``mean`` is in nats a pixel: (ZONES, ZONES) by kind of row and column, or (H, W) for each place of aligned pictures.
    ``tails`` (2 S, Q) are averages, downwards and upwards, that ever smaller shares of places exceed; ``tail`` (Q,) the
    same for scores. ``rarest`` (S,) is -log10 of the rarest of these shares. Raises ValueError for tensors that do not
    fit.

    >>> generator = torch.Generator().manual_seed(0)
    >>> pictures = [torch.randn(24, 20 + k, generator=generator) for k in range(6)]
    >>> usual = flows.anomaly.places.Usual.of(pictures, flows.anomaly.places.widths_for(20))
    >>> spot = torch.randn(30, 40, generator=generator)
    >>> spot[10:14, 20:24] -= 4
    >>> scores = usual.scores(spot)
    >>> bool(scores[12, 22] > 3), bool(scores[25, 5] < 3)
    (True, True)
    """

    def __init__(
        self, widths: Sequence[float], mean: Tensor, tails: Tensor, tail: Tensor, rarest: Sequence[float]
    ) -> None:
        self.widths, self.mean, self.tails, self.tail = tuple(widths), mean.float(), tails.double(), tail.double()
        if tails.shape != (2 * len(self.widths), KNOTS) or tail.shape != (KNOTS,) or mean.ndim != 2:
            raise ValueError("what is usual at a place does not fit its windows")
        if not bool((self.tails.diff() > 0).all()) or not bool((self.tail.diff() > 0).all()):
            raise ValueError("the tails of a map must rise")
        self.tails = self.tails.contiguous()
        self.rarest = [float(each) for each in rarest]
        if len(self.rarest) != len(self.widths) or not all(0 < each < 10 for each in self.rarest):
            raise ValueError("each window needs the rarest share that its curve was read to")
        self._logs = [log_shares(mean.device, each) for each in self.rarest]

    @classmethod
    def of(cls, pictures: Sequence[Tensor], widths: Sequence[float], *, aligned: bool = False) -> Usual:
        """From log-densities (H, W) of the pixels of ordinary pictures; of one size where they are ``aligned``."""
        mean = torch.stack(list(pictures)).mean(dim=0) if aligned else mean_by_zone(pictures)
        ramp = torch.linspace(0, 1, KNOTS, device=mean.device)
        rarest = [readable(sum(each.numel() for each in pictures), width) for width in widths]
        draft = cls(widths, mean, ramp.expand(2 * len(widths), -1), ramp, rarest)
        averages = torch.cat([draft.averages(each).flatten(1) for each in pictures], dim=1)
        both = zip(torch.cat([-averages, averages]), rarest * 2, strict=True)
        tails = torch.stack([quantiles(row, share) for row, share in both])
        draft = cls(widths, mean, tails, ramp, rarest)
        scores = torch.cat([draft.scores(each).flatten() for each in pictures])
        return cls(widths, mean, tails, quantiles(scores, rarest[0]), rarest)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str) -> Usual:
        """From what ``tensors`` gave. Raises ValueError, and KeyError for a missing tensor."""
        mean, tails, tail, rarest = (tensors[f"{prefix}{name}"] for name in ("mean", "tails", "tail", "rarest"))
        return cls(tensors["widths"].tolist(), mean, tails, tail, rarest.flatten().tolist())

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What a store keeps; the widths of the windows are common to all."""
        return {
            f"{prefix}mean": self.mean.cpu(),
            f"{prefix}tails": self.tails.float().cpu(),
            f"{prefix}tail": self.tail.float().cpu(),
            f"{prefix}rarest": torch.tensor(self.rarest, dtype=torch.float64),
        }

    @property
    def aligned(self) -> bool:
        """Whether each place has a mean of its own."""
        return tuple(self.mean.shape) != (ZONES, ZONES)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of aligned pictures, else None."""
        return (self.mean.shape[0], self.mean.shape[1]) if self.aligned else None

    def averages(self, densities: Tensor) -> Tensor:
        """Deviations of log-densities (H, W), averaged over each window: (S, H, W)."""
        deviation = densities - self.mean_at(densities.shape[0], densities.shape[1])
        bounded = deviation.nan_to_num(nan=-HUGE, posinf=HUGE, neginf=-HUGE).clamp(-HUGE, HUGE)
        return torch.stack([blurred(bounded, width) for width in self.widths])

    def scores(self, densities: Tensor) -> Tensor:
        """-log10 of the share of places that are as far out in the same window and direction: (H, W), of the rarest."""
        averages = self.averages(densities).double()
        found = torch.full_like(averages[0], -torch.inf)
        for window, average in enumerate(averages):
            for tail, values in ((window, -average), (window + len(self.widths), average)):
                found = torch.maximum(found, interpolated(self.tails[tail], self._logs[window], values, BEYOND))
        return found.float()

    def rarity(self, scores: Tensor) -> Tensor:
        """-log10 of the share of places of ordinary pictures with such scores, of any shape."""
        return interpolated(self.tail, self._logs[0], scores.double(), BEYOND).float()

    def mean_at(self, height: int, width: int) -> Tensor:
        """The usual log-density (H, W) of each place.

        Raises ShapeMismatch for another size than that of aligned pictures.
        """
        if self.aligned and tuple(self.mean.shape) == (height, width):
            return self.mean
        if self.aligned:
            raise ShapeMismatch(
                f"the model's pictures are aligned and {self.mean.shape[1]}x{self.mean.shape[0]}, not {width}x{height}"
            )
        rows, columns = zones(height), zones(width)
        return self.mean[rows.to(self.mean.device)][:, columns.to(self.mean.device)]


def readable(places: int, width: float) -> float:
    """-log10 of the rarest share of places that so many, averaged over windows of this width, can tell of."""
    windows = places / (4 * math.pi * width**2)
    return min(max(math.log10(windows / _APART), _COMMONEST), RAREST)


def zones(side: int) -> Tensor:
    """The kind (side,) of each row or column: 0 to 7 the first, 8 to 15 between, 16 to 23 the last.

    Within each, it is the place in a block: that matters more than how far a border is.
    """
    place = torch.arange(side)
    third = torch.where(place < BLOCK, 0, torch.where(side - place <= BLOCK, 2, 1))
    return third * BLOCK + place % BLOCK


def widths_for(shorter_side: int) -> tuple[float, ...]:
    """Standard deviations in pixels of the windows for pictures of this shorter side, the narrowest first."""
    widest = min(max(shorter_side * _WIDEST, _NARROWEST), _LARGEST)
    found = [_NARROWEST]
    while found[-1] * 2 <= widest:
        found.append(found[-1] * 2)
    return tuple(found)


def blurred(values: Tensor, width: float, step: int = 1, *, damped: bool = False) -> Tensor:
    """Values (..., H, W) averaged over a Gaussian window. At a border the weights that are left sum to one.

    With ``step`` the averages (..., ceil(H / step), ceil(W / step)) lie in the middles of so many equal parts. An
    average of the few values at a border varies more than others. Where it is ``damped``, the weights sum to the root
    of the share that is left, in each direction: averages of independent values vary alike everywhere then.
    """
    down = _averaged(values, width, step, damped)
    return _averaged(down.mT, width, step, damped).mT


def _averaged(values: Tensor, width: float, step: int, damped: bool) -> Tensor:
    """Values (..., H, W) averaged over a window down the columns: (..., ceil(H / step), W)."""
    side = values.shape[-2]
    window = _window(side, width, step, damped, values.device).to(values.dtype)
    if len(window) <= _AT_ONCE:
        return window @ values
    parts = []
    for start in range(0, len(window), _AT_ONCE):  # far from its middle a window has no weight
        rows = window[start : start + _AT_ONCE]
        reach = _REACH * width + step
        first = max(0, math.floor(start * side / len(window) - reach))
        last = min(side, math.ceil((start + len(rows)) * side / len(window) + reach))
        parts.append(rows[:, first:last] @ values[..., first:last, :])
    return torch.cat(parts, dim=-2)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _window(side: int, width: float, step: int, damped: bool, device: torch.device) -> Tensor:
    """(parts, side): row i averages around part i. Dense, since products of matrices are fast; read, never written."""
    reach = math.ceil(_REACH * width)
    places = torch.arange(-reach, side + reach, dtype=torch.float64, device="cpu")
    parts = math.ceil(side / step)
    middles = (torch.arange(parts, dtype=torch.float64, device="cpu") + 0.5) * side / parts - 0.5
    away = (middles[:, None] - places) / width
    weights = (-0.5 * away.square()).exp() * (away.abs() <= _REACH)
    inside = weights[:, reach : reach + side]
    left = inside.sum(dim=1, keepdim=True)
    return (inside / ((left * weights.sum(dim=1, keepdim=True)).sqrt() if damped else left)).float().to(device)


def mean_by_zone(pictures: Sequence[Tensor]) -> Tensor:
    """Means (ZONES, ZONES) of log-densities by kind of place, drawn a little to those of the same place in a block."""
    device = pictures[0].device
    total, count = torch.zeros(2, ZONES * ZONES, dtype=torch.float64, device=device).unbind(0)
    for each in pictures:
        place = (zones(each.shape[0])[:, None] * ZONES + zones(each.shape[1])).flatten().to(device)
        total.index_add_(0, place, each.double().flatten())
        count.index_add_(0, place, torch.ones_like(each, dtype=torch.float64).flatten())
    total, count = total.reshape(ZONES, ZONES), count.reshape(ZONES, ZONES)
    inner = slice(BLOCK, 2 * BLOCK)
    whole = total.sum() / count.sum()
    own = (total[inner, inner] + _DOUBT * whole) / (count[inner, inner] + _DOUBT)
    return ((total + _DOUBT * own.repeat(3, 3)) / (count + _DOUBT)).float()
