"""A mixture of normal distributions: a second density beside a flow, which needs far fewer rows than one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from flows.anomaly.neighbours import spread_of

COMPONENTS = (1, 2, 3, 5)
"""Numbers of components that are tried."""
_FOLDS = 4
"""Parts of the rows; each number of components is fitted to all but one and judged by the one."""
_CHOOSING_ROWS = 1000
_LEAST_ROWS = 8
"""Rows of a component at least."""
_RIDGE, _RIDGE_OF_WIDE = 1e-3, 1e-2
"""Added to each variance, of columns in standard units: the first, and the second times columns per row if larger."""
_STEPS, _ENOUGH = 100, 1e-3
"""Steps of expectation maximisation at most, and the gain of the mean log-likelihood below which it ends."""
_STARTS = 3
"""Runs of k-means, from other centres each."""
_ITERATIONS = 10
"""Of k-means, which only begins the fit."""
_FARTHEST = 1e9
_BATCH = 32
"""Points that pass at once. The last part has fewer, which changes last bits: far below what scores are rounded to."""


class Mixture:
    """The density of a mixture of normal distributions with full covariance matrices, in the units of the rows.

    ``log_shares`` (C,), ``means`` (C, D) and ``factors`` (C, D, D) are of columns in standard units; each factor is the
    lower Cholesky factor of a precision matrix. ``centre`` and ``scale`` (D,) are the columns' means and deviations.

    >>> generator = torch.Generator().manual_seed(0)
    >>> rows = torch.randn(200, 2, generator=generator)
    >>> near, far = flows.anomaly.Mixture.of(rows).log_density(torch.tensor([[0.0, 0.0], [9.0, 9.0]]))
    >>> bool(near > -3), bool(far < -30)
    (True, True)
    """

    def __init__(self, log_shares: Tensor, means: Tensor, factors: Tensor, centre: Tensor, scale: Tensor) -> None:
        self.log_shares, self.means, self.factors = log_shares.double(), means.double(), factors.double()
        self.centre, self.scale = centre.double(), scale.double()
        # log share + log of the normalising constant of each component, in the units of the rows.
        volumes = self.factors.diagonal(dim1=1, dim2=2).log().sum(dim=1) - self.scale.log().sum()
        self._constants = self.log_shares + volumes - math.log(2 * math.pi) * self.means.shape[1] / 2

    @classmethod
    def of(cls, rows: Tensor) -> Mixture:
        """Fitted to rows (N, D) by expectation maximisation.

        The number of components is that with the best likelihood of rows which the fit did not see. Parameters are
        rounded to float32, as they are stored.
        """
        points = rows.double()
        centre = points.mean(dim=0)
        scale = spread_of(points)
        standard = (points - centre) / scale
        found = fitted(standard, _components(standard))
        return cls(*(part.float() for part in (*found, centre, scale)))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str) -> Mixture:
        """From what ``tensors`` gave. Raises KeyError for a missing tensor, ValueError for one of another shape."""
        parts = [tensors[f"{prefix}{name}"] for name in _NAMES]
        components, dimensions = parts[1].shape if parts[1].ndim == 2 else (0, 0)
        wanted = [(components,), (components, dimensions), (components, dimensions, dimensions)]
        wanted += [(dimensions,), (dimensions,)]
        if [tuple(part.shape) for part in parts] != wanted or not all(bool(part.isfinite().all()) for part in parts):
            raise ValueError(f"{prefix}* do not describe a mixture")
        return cls(*parts)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What a store keeps, with ``prefix`` before each name."""
        parts = (self.log_shares, self.means, self.factors, self.centre, self.scale)
        return {f"{prefix}{name}": part.float().cpu() for name, part in zip(_NAMES, parts, strict=True)}

    def to(self, device: torch.device) -> Mixture:
        """The same on another device."""
        parts = (self.log_shares, self.means, self.factors, self.centre, self.scale)
        return Mixture(*(part.to(device) for part in parts))

    @property
    def dimensions(self) -> int:
        return self.means.shape[1]

    def log_density(self, x: Tensor) -> Tensor:
        """Points (B, D) -> log-densities (B,), float64, in nats. NaN for points that are not finite."""
        parts = [self._of_components(self._whitened(part)).logsumexp(dim=1) for part in torch.split(x, _BATCH)]
        return torch.cat(parts)

    def conditional(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations (B, D) of each column given the others, under the component that fits best."""
        parts = [self._conditional(part) for part in torch.split(x, _BATCH)]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _conditional(self, x: Tensor) -> tuple[Tensor, Tensor]:
        whitened = self._whitened(x)
        pull = torch.einsum("bcd,ced->bce", whitened, self.factors)  # precision times the distance from the mean
        precision = self.factors.square().sum(dim=2)
        distance = pull / precision  # from the conditional mean
        others = self._of_components(whitened)[:, :, None] + (distance.square() * precision - precision.log()) / 2
        best = others.argmax(dim=1, keepdim=True)
        std = precision.rsqrt().expand_as(distance).gather(1, best)[:, 0] * self.scale
        return x.double() - distance.gather(1, best)[:, 0] * self.scale, std

    def _whitened(self, x: Tensor) -> Tensor:
        """(B, C, D): the points as each component sees them, standard normal where they belong to it."""
        standard = ((x.double() - self.centre) / self.scale).clamp(-_FARTHEST, _FARTHEST)
        return torch.einsum("bcd,cde->bce", standard[:, None] - self.means, self.factors)

    def _of_components(self, whitened: Tensor) -> Tensor:
        """(B, C): the logarithms of the parts of the density."""
        return self._constants - whitened.square().sum(dim=2) / 2


_NAMES = ("log_shares", "means", "factors", "centre", "scale")
_Parts = tuple[Tensor, Tensor, Tensor]
"""Log-shares, means and factors."""


def _components(points: Tensor) -> int:
    """The number of components under which points that the fit did not see are likeliest."""
    points = points[:_CHOOSING_ROWS]
    part = torch.arange(len(points), device=points.device) % _FOLDS
    able = [count for count in COMPONENTS if count * _LEAST_ROWS <= len(points)] or [1]
    if len(able) == 1:
        return able[0]

    def held_out(count: int) -> float:
        return sum(float(_log_parts(points[part == k], *fitted(points[part != k], count)).logsumexp(dim=1).sum())
                   for k in range(_FOLDS))  # fmt: skip

    return max(able, key=held_out)


def fitted(points: Tensor, count: int) -> _Parts:
    """Log-shares (C,), means (C, D) and factors (C, D, D) of ``count`` components, of points (N, D) in standard units.

    By expectation maximisation (Dempster, Laird & Rubin 1977) from the clusters of k-means.
    """
    ridge = max(_RIDGE, _RIDGE_OF_WIDE * points.shape[1] / len(points))
    shares = torch.nn.functional.one_hot(_clusters(points, count), count).double()
    before = -math.inf
    for _ in range(_STEPS):
        parts = _maximised(points, shares, ridge)
        found = _log_parts(points, *parts)
        total = found.logsumexp(dim=1, keepdim=True)
        mean = float(total.mean())
        if count == 1 or mean - before < _ENOUGH:
            break
        shares, before = (found - total).exp(), mean
    return parts


def _maximised(points: Tensor, shares: Tensor, ridge: float) -> _Parts:
    """The parameters that suit the shares (N, C) of components in points best."""
    counts = shares.sum(dim=0) + 1e-8
    means = shares.T @ points / counts[:, None]
    apart = points[None] - means[:, None]  # (C, N, D)
    covariances = (apart * shares.T[:, :, None]).mT @ apart / counts[:, None, None]
    covariances.diagonal(dim1=1, dim2=2).add_(ridge)
    factors = torch.linalg.cholesky(torch.linalg.inv(covariances))
    return (counts / len(points)).log(), means, factors


def _log_parts(points: Tensor, log_shares: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """(N, C), up to a constant that depends on the number of columns alone."""
    whitened = (points[None] - means[:, None]) @ factors
    return (log_shares + factors.diagonal(dim1=1, dim2=2).log().sum(dim=1))[None] - whitened.square().sum(dim=2).T / 2


def _clusters(points: Tensor, count: int) -> Tensor:
    """The cluster (N,) of each point: the tightest of several runs of k-means."""
    if count == 1:
        return torch.zeros(len(points), dtype=torch.int64, device=points.device)
    generator = torch.Generator().manual_seed(0)
    runs = [_k_means(points, count, generator) for _ in range(_STARTS)]
    return min(runs, key=lambda run: run[1])[0]


def _k_means(points: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, float]:
    """Clusters (N,), and the sum of squares within them, from centres drawn apart (Arthur & Vassilvitskii 2007)."""
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    for _ in range(1, count):
        distances = torch.cdist(points, points[chosen]).amin(dim=1).square().cpu()
        chosen.append(int(torch.multinomial(distances + 1e-12, 1, generator=generator)))
    centres = points[chosen]
    for _ in range(_ITERATIONS):
        distances, nearest = torch.cdist(points, centres).min(dim=1)
        members = torch.nn.functional.one_hot(nearest, count).double()
        sizes = members.sum(dim=0)[:, None]
        centres = torch.where(sizes > 0, members.T @ points / sizes.clamp_min(1), centres)
    return nearest, float(distances.square().sum())
