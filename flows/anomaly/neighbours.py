"""Distances of vectors to their nearest neighbours among kept rows, in standard units and in whitened space."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 5
"""Neighbours whose mean distance is taken. Between 1 and 10 the area under the ROC curve hardly changes."""
_BATCH = 32
"""Points that are compared with all rows at once."""
_FARTHEST = 1e9
"""In standard units. Points farther out get the same distance, which keeps float32 in range."""
_LEAST_SPREAD = 1e-9
_ROUNDING = 1e-12
"""As a share of a column's greatest number: deviations below it are rounding."""


def spread_of(points: Tensor) -> Tensor:
    """The standard deviation (D,) of each column of rows (N, D), however small; a least one where it is rounding."""
    std = points.std(dim=0, correction=0)
    return torch.where(std > _ROUNDING * points.abs().amax(dim=0), std, std.clamp_min(_LEAST_SPREAD))


class Neighbours:
    """Mean distances to the nearest of kept rows (M, D).

    The first distance is Euclidean after each column is divided by its standard deviation. The second one is Euclidean
    after the rows are whitened with a covariance matrix that is shrunk towards a multiple of the identity, so that it
    stays invertible with fewer rows than columns. The second one sees a broken relation between columns, the first one
    a rare value.

    ``shrinkage`` is the weight of the identity, see ``likeliest_shrinkage``. None takes that of Ledoit & Wolf 2004, "A
    well-conditioned estimator for large-dimensional covariance matrices". Theirs is close in squared error, but it may
    drown directions in which the rows hardly vary, and these tell most of columns that depend on each other.

    >>> generator = torch.Generator().manual_seed(0)
    >>> rows = torch.randn(200, 2, generator=generator)
    >>> near, far = flows.anomaly.Neighbours(rows).distances(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))[0]
    >>> bool(near < 0.5), bool(far > 5)
    (True, True)
    """

    def __init__(self, rows: Tensor, shrinkage: float | None = None) -> None:
        self.shrinkage = shrinkage
        points = rows.double()
        self._mean = points.mean(dim=0)
        self._scale = spread_of(points)
        standard = (points - self._mean) / self._scale
        self._whitener = torch.linalg.cholesky(torch.linalg.inv(shrunk_covariance(standard, shrinkage)))
        self._spaces = (standard.float(), (standard @ self._whitener).float())
        self._count = min(NEIGHBOURS, len(rows) - 1)

    def distances(self, points: Tensor) -> Tensor:
        """Both mean distances (2, B), float64, of points (B, D). Not finite for points that are not."""
        standard = self._standard(points)
        spaces = (standard.float(), (standard @ self._whitener).float())
        return torch.stack([self._nearest(found, space) for found, space in zip(spaces, self._spaces, strict=True)])

    def own_distances(self) -> Tensor:
        """Both mean distances (2, M), float64, of the rows themselves, each to the other rows."""
        return torch.stack([self._nearest(space, space, own=True) for space in self._spaces])

    def _standard(self, points: Tensor) -> Tensor:
        return ((points.double() - self._mean) / self._scale).clamp(-_FARTHEST, _FARTHEST)

    def _nearest(self, points: Tensor, rows: Tensor, own: bool = False) -> Tensor:
        found = points.new_empty(len(points))
        for start in range(0, len(points), _BATCH):
            part = points[start : start + _BATCH]
            # Pair by pair: as a matrix product, the distance of near points would lose its digits.
            distances = torch.cdist(part, rows, compute_mode="donot_use_mm_for_euclid_dist")
            if own:
                here = torch.arange(len(part), device=part.device)
                distances[here, here + start] = torch.inf
            nearest = distances.topk(self._count, dim=1, largest=False).values
            found[start : start + _BATCH] = nearest.sort(dim=1).values.mean(dim=1)
        return found.double()


def shrunk_covariance(points: Tensor, share: float | None = None) -> Tensor:
    """The covariance matrix (D, D) of centred points (M, D), mixed with a multiple of the identity.

    ``share`` is the weight of the identity; None computes it as Ledoit & Wolf 2004 (equation 14) do.
    """
    count, dimensions = points.shape
    covariance = points.T @ points / count
    mean = covariance.diagonal().mean()
    target = mean * torch.eye(dimensions, dtype=points.dtype, device=points.device)
    if share is not None:
        return (1 - share) * covariance + share * target
    squares = points.square()
    error = ((squares.T @ squares).sum() / count - covariance.square().sum()) / count
    spread = (covariance - target).square().sum()
    weight = (error / spread.clamp_min(1e-12)).clamp(1e-6, 1)
    shrunk: Tensor = (1 - weight) * covariance + weight * target
    return shrunk


_SHARES: list[float] = torch.logspace(-3, -0.05, 14, dtype=torch.float64, device="cpu").tolist()
_FOLDS = 5
_CHOOSING_ROWS = 2000


def likeliest_shrinkage(rows: Tensor) -> float:
    """The weight of the identity under which normal distributions make rows (M, D) likeliest that they did not see.

    Columns are in standard units. Fifths of the rows are left out in turn.
    """
    points = rows[:_CHOOSING_ROWS].double()
    points = (points - points.mean(dim=0)) / spread_of(points)
    part = torch.arange(len(points), device=points.device) % _FOLDS
    shares = torch.tensor(_SHARES, dtype=points.dtype, device=points.device)[:, None]
    loss = torch.zeros_like(shares[:, 0])
    for k in range(_FOLDS):
        seen = points[part != k]
        variances, directions = torch.linalg.eigh(seen.T @ seen / len(seen))
        mixed = (1 - shares) * variances.clamp_min(0) + shares * variances.mean() + 1e-12
        squares = (points[part == k] @ directions).square().mean(dim=0)
        loss += (mixed.log() + squares / mixed).sum(dim=1)
    return _SHARES[int(loss.argmin())]
