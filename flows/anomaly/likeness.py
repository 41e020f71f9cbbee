"""How far a point is from the nearest of fitted points, beside how far these are from their own nearest points."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NEAREST = 10
"""Nearest points whose mean distance is taken. Chosen among 1 to 40 on near sets of digits; 20 is as good."""
_ROWS = 4096
"""Fitted points that are kept at most: the cost of a verdict grows with them."""
_BATCH = 256
_FARTHEST = 1e9
_LEAST = 1e-6
"""Added to distances: a picture may be there several times."""


class Likeness:
    """Log-ratios of the distance of points to kept points, and of that of these kept points to others.

    The distance of a point is the mean of those to its ``NEAREST`` kept points. It is divided by the mean of the same
    distance of these kept points, each among the others. So a point in an empty place beside a dense cluster is as
    atypical as one that is far from scattered points (after Breunig et al. 2000, "LOF: Identifying density-based local
    outliers", without its smoothing of short distances). A low ratio is not atypical.

    ``points`` (N, k) are float64, each column with a spread near 1; the first of them are kept.

    >>> points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double()
    >>> likeness = flows.anomaly.likeness.Likeness(points)
    >>> inside, outside = likeness.scores(torch.tensor([[0.0, 0.0], [5.0, 5.0]]).double())
    >>> bool(inside < 0.5), bool(outside > 1)
    (True, True)
    """

    def __init__(self, points: Tensor) -> None:
        self._points = points
        self._kept = points[:_ROWS].clamp(-_FARTHEST, _FARTHEST).float()
        self._half_squares = 0.5 * self._kept.square().sum(dim=1)
        self._count = min(NEAREST, len(self._kept) - 1)
        parts = torch.split(torch.arange(len(self._kept), device=points.device), _BATCH)
        self._own = torch.cat([self._nearest(self._kept[part], part)[0] for part in parts])

    def scores(self, points: Tensor) -> Tensor:
        """The log-ratios (B,), float64, of points (B, k); infinite for points that are not finite."""
        found = torch.cat(
            [self._scores(part.clamp(-_FARTHEST, _FARTHEST).float()) for part in torch.split(points, _BATCH)]
        )
        return found.where(points.sum(dim=1).isfinite(), torch.inf)

    def leave_one_out_scores(self) -> Tensor:
        """The scores (N,) of ``points``, each kept one without itself."""
        parts = torch.split(torch.arange(len(self._kept), device=self._kept.device), _BATCH)
        kept = [self._scores(self._kept[part], part) for part in parts]
        others = self._points[len(self._kept) :]
        return torch.cat([*kept, self.scores(others)]) if len(others) else torch.cat(kept)

    def _scores(self, points: Tensor, left_out: Tensor | None = None) -> Tensor:
        distances, nearest = self._nearest(points, left_out)
        usual = self._own.index_select(0, nearest.flatten()).view_as(nearest).mean(dim=1)
        return ((distances + _LEAST) / (usual + _LEAST)).double().log()

    def _nearest(self, points: Tensor, left_out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The mean distances (B,) to the nearest kept points, and which these are (B, NEAREST)."""
        # |p - c|^2 / 2 = |p|^2 / 2 - (p c - |c|^2 / 2): one matrix product tells which are near. How near, is computed
        # pair by pair, since the product would lose the digits of short distances.
        closeness = functional.linear(points, self._kept, -self._half_squares)
        if left_out is not None:
            closeness[torch.arange(len(points), device=points.device), left_out] = -torch.inf
        nearest = closeness.topk(self._count, dim=1).indices
        kept = self._kept.index_select(0, nearest.flatten()).view(*nearest.shape, -1)
        return (points[:, None] - kept).square().sum(dim=2).sqrt().mean(dim=1), nearest
