"""What is usual at a place of a picture, from several readings at once, and how strange each place is.

Each pixel has readings (see ``flows.anomaly.readings``). What is usual at its place is subtracted, and what is left is
averaged over Gaussian windows of several widths. An average is as far out as its Mahalanobis distance from those of
ordinary pictures: a blurred place may be as likely as others and as bright, but not both at its lack of contrast. How
rare a distance is, is read from the places of ordinary pictures, for each window. A place's score is that of its
rarest window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.anomaly.curves import KNOTS, interpolated, log_shares, quantiles
from flows.anomaly.places import BEYOND, HUGE, ZONES, blurred, mean_by_zone, readable, zones
from flows.errors import ShapeMismatch

_RIDGE = 1e-4
"""The share of each variance that is added to it."""
_LEAST = 1e-8
"""Added to variances: a reading of flat pictures may never vary."""
_LONGEST = 128
"""Pixels of the longer side of a stored mean of each place, at most: it is stored for each judge and reading."""

_AT_ONCE = 2**17
"""Places whose distances are computed at once: those of a large picture would take as much memory as its tiles."""


class Typical:
    """What ordinary pictures look like at their places, under one flow.

    ``mean`` (F, ZONES, ZONES) is by kind of row and column, or (F, h, w) of aligned pictures of ``size`` (height,
    width), scaled down where they are large. For each of S windows there are the ``centre`` (F,) of averages and a
    ``factor`` (F, F) that makes them uncorrelated with unit variance. ``tails`` (S, Q) are distances that ever
    smaller shares of places exceed, ``tail`` (Q,) the same for scores. ``rarest`` (S,) is -log10 of the rarest of
    these shares. Raises ValueError for tensors that do not fit.

    >>> generator = torch.Generator().manual_seed(0)
    >>> pictures = [torch.randn(2, 24, 20 + k, generator=generator) for k in range(6)]
    >>> typical = flows.anomaly.typical.Typical.of(pictures, flows.anomaly.places.widths_for(20))
    >>> spot = torch.randn(2, 30, 40, generator=generator)
    >>> spot[0, 10:14, 20:24] -= 4
    >>> scores = typical.scores(spot)
    >>> bool(scores[12, 22] > 3), bool(scores[25, 5] < 3)
    (True, True)
    """

    def __init__(
        self,
        widths: Sequence[float],
        mean: Tensor,
        centre: Tensor,
        factor: Tensor,
        tails: Tensor,
        tail: Tensor,
        rarest: Sequence[float],
        size: tuple[int, int] | None = None,
    ) -> None:
        self.widths, self.rarest, self.size = tuple(widths), [float(each) for each in rarest], size
        windows, count = len(self.widths), len(mean)
        if mean.ndim != 3 or centre.shape != (windows, count) or factor.shape != (windows, count, count):
            raise ValueError("what is usual at a place does not fit its readings and windows")
        if size is None and tuple(mean.shape[1:]) != (ZONES, ZONES):
            raise ValueError("what is usual must be of each kind of place, or of aligned pictures of one size")
        if tails.shape != (windows, KNOTS) or tail.shape != (KNOTS,):
            raise ValueError("the tails of a map do not fit its windows")
        if not bool((tails.diff() > 0).all()) or not bool((tail.diff() > 0).all()):
            raise ValueError("the tails of a map must rise")
        if len(self.rarest) != windows or not all(0 < each < 10 for each in self.rarest):
            raise ValueError("each window needs the rarest share that its curve was read to")
        self.mean, self.centre, self.factor = mean.float(), centre.float(), factor.float()
        self.tails, self.tail = tails.double().contiguous(), tail.double()
        self._logs = [log_shares(mean.device, each) for each in self.rarest]

    @classmethod
    def of(cls, pictures: Sequence[Tensor], widths: Sequence[float], *, aligned: bool = False) -> Typical:
        """From readings (F, H, W) of ordinary pictures; of one size where they are ``aligned``."""
        size = (pictures[0].shape[1], pictures[0].shape[2]) if aligned else None
        mean = _mean_of_places(pictures) if aligned else _mean_of_kinds(pictures)
        deviations = [_deviation(each, mean, size) for each in pictures]
        rarest = [readable(sum(each[0].numel() for each in pictures), width) for width in widths]
        centres, factors, tails = [], [], []
        for width, share in zip(widths, rarest, strict=True):
            averages = [_averages(each, width) for each in deviations]
            centre, factor = _spread(averages)
            distances = torch.cat([_distances(each, centre, factor) for each in averages])
            centres.append(centre)
            factors.append(factor)
            tails.append(quantiles(distances, share))
        parts = (torch.stack(centres), torch.stack(factors), torch.stack(tails))
        draft = cls(widths, mean, *parts, torch.linspace(0, 1, KNOTS, device=mean.device), rarest, size)
        scores = torch.cat([draft.scores(each).flatten() for each in pictures])
        return cls(widths, mean, *parts, quantiles(scores, rarest[0]), rarest, size)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str) -> Typical:
        """From what ``tensors`` gave. Raises ValueError, and KeyError for a missing tensor."""
        names = ("mean", "centre_of_readings", "factor", "tails", "tail")
        mean, centre, factor, tails, tail = (tensors[f"{prefix}{name}"] for name in names)
        rarest, size = tensors[f"{prefix}rarest"].flatten().tolist(), tensors[f"{prefix}size"].flatten().tolist()
        if len(size) not in (0, 2) or any(side < 1 for side in size):
            raise ValueError(f"{prefix}size must be a height and a width, or empty")
        return cls(
            tensors["widths"].tolist(), mean, centre, factor, tails, tail, rarest, (size[0], size[1]) if size else None
        )

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What a store keeps; the widths of the windows are common to all."""
        return {
            f"{prefix}mean": self.mean.half().cpu(),
            f"{prefix}centre_of_readings": self.centre.cpu(),
            f"{prefix}factor": self.factor.cpu(),
            f"{prefix}tails": self.tails.float().cpu(),
            f"{prefix}tail": self.tail.float().cpu(),
            f"{prefix}rarest": torch.tensor(self.rarest, dtype=torch.float64),
            f"{prefix}size": torch.tensor(self.size or [], dtype=torch.int32),
        }

    @property
    def aligned(self) -> bool:
        """Whether each place has a mean of its own."""
        return self.size is not None

    def scores(self, found: Tensor) -> Tensor:
        """-log10 of the share of places that are as far out in the same window: (H, W), of the rarest window.

        Of the readings (F, H, W) of a picture. Raises ShapeMismatch for another size than that of aligned pictures.
        """
        deviation = _deviation(found, self.mean, self.size)
        rarest = found.new_full((found[0].numel(),), -torch.inf, dtype=torch.float64)
        for width, centre, factor, tail, logs in zip(
            self.widths, self.centre, self.factor, self.tails, self._logs, strict=True
        ):
            averages = _averages(deviation, width)
            parts = [
                interpolated(tail, logs, _distances(part, centre, factor).double(), BEYOND)
                for part in torch.split(averages, _AT_ONCE, dim=1)
            ]
            rarest = torch.maximum(rarest, torch.cat(parts))
        return rarest.float().reshape(found.shape[1:])

    def rarity(self, scores: Tensor) -> Tensor:
        """-log10 of the share of places of ordinary pictures with such scores, of any shape."""
        return interpolated(self.tail, self._logs[0], scores.double(), BEYOND).float()


def _mean_at(mean: Tensor, size: tuple[int, int] | None, height: int, width: int) -> Tensor:
    """The usual readings (F, H, W) of each place of a picture, from the ``mean`` of a ``Typical``.

    Raises ShapeMismatch for another size than that of aligned pictures.
    """
    if size is None:
        rows, columns = zones(height).to(mean.device), zones(width).to(mean.device)
        return mean[:, rows][:, :, columns]
    if size != (height, width):
        raise ShapeMismatch(f"the model's pictures are aligned and {size[1]}x{size[0]}, not {width}x{height}")
    if tuple(mean.shape[1:]) == size:
        return mean
    return functional.interpolate(mean[None], size=size, mode="bilinear", align_corners=False)[0]


def _deviation(found: Tensor, mean: Tensor, size: tuple[int, int] | None) -> Tensor:
    """What readings (F, H, W) have more than usual, one after another for less memory. Not finite is far below.

    As ``_mean_at``.
    """
    deviation = torch.empty_like(found)
    for k, own in enumerate(found):
        torch.sub(own, _mean_at(mean[k : k + 1], size, own.shape[0], own.shape[1])[0], out=deviation[k])
    return deviation.nan_to_num_(nan=-HUGE, posinf=HUGE, neginf=-HUGE).clamp_(-HUGE, HUGE)


def _averages(deviation: Tensor, width: float) -> Tensor:
    """Deviations (F, H, W) averaged over a window, (F, H W); one reading after another, for less memory."""
    found = torch.empty_like(deviation)
    for target, own in zip(found, deviation, strict=True):
        target.copy_(blurred(own, width))
    return found.flatten(1)


def _distances(averages: Tensor, centre: Tensor, factor: Tensor) -> Tensor:
    """The Mahalanobis distances (N,) of averages (F, N)."""
    return (factor.T @ (averages - centre[:, None])).square().sum(dim=0).sqrt()


def _mean_of_kinds(pictures: Sequence[Tensor]) -> Tensor:
    """(F, ZONES, ZONES), rounded as it is stored."""
    return torch.stack([mean_by_zone([each[k] for each in pictures]) for k in range(len(pictures[0]))]).half().float()


def _mean_of_places(pictures: Sequence[Tensor]) -> Tensor:
    """(F, h, w) at a bounded size, rounded as it is stored."""
    mean = torch.stack(list(pictures)).mean(dim=0)
    share = _LONGEST / max(mean.shape[1:])
    if share < 1:
        size = [max(1, round(side * share)) for side in mean.shape[1:]]
        mean = functional.interpolate(mean[None], size=size, mode="area")[0]
    return mean.half().float()


def _spread(averages: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The mean (F,) of averages (F, N) of several pictures, and a factor (F, F).

    The factor's transpose times deviations from the mean has unit covariance.
    """
    count = sum(each.shape[1] for each in averages)
    centre = torch.stack([each.double().sum(dim=1) for each in averages]).sum(dim=0) / count
    covariance = torch.zeros(len(centre), len(centre), dtype=torch.float64, device=centre.device)
    for each in averages:
        deviation = each.double() - centre[:, None]
        covariance += deviation @ deviation.T / (count - 1)
    covariance += torch.diag(_RIDGE * covariance.diagonal() + _LEAST)
    factor: Tensor = torch.linalg.cholesky(torch.linalg.inv(covariance))
    return centre.float(), factor.float()
