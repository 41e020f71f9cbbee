"""Kinds of places: how far averages over windows are from what ordinary pictures have, of each of a few kinds.

A picture of bricks has places in bricks and in mortar, one of the sky has stars and darkness between. Their averages
vary around several middles, by different amounts, so they are told by a mixture of normal distributions. How far out an
average is, is read from the density of the mixture. With one kind that is its Mahalanobis distance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from flows.anomaly.curves import KNOTS, Curve, log_shares, quantiles
from flows.anomaly.mixture import fitted
from flows.anomaly.places import BEYOND

KINDS = 4
_FITTED = 30_000
"""Averages that the mixture is fitted to, at most: neighbouring places tell much the same."""
_RIDGE = 1e-4
"""The share of each variance that is added to it."""
_LEAST = 1e-8
"""Added to variances: a reading of flat pictures may never vary."""
_AT_ONCE = 2**16
"""Places whose distances are computed at once: those of a large picture would take as much memory as its tiles."""
_LEAST_OF_KIND = 8
"""Averages for each kind, at least."""
_NAMES = ("log_weights", "centre", "factor", "tails")


class Kinds:
    """Kinds of places, for each of S windows, in F readings.

    ``log_weights`` (S, K) tell how common each kind is, ``centre`` (S, K, F) its averages, and ``factor`` (S, K, F, F)
    makes them uncorrelated with unit variance. ``tails`` (S, Q) are distances that ever smaller shares of places
    exceed, and ``rarest`` (S,) is -log10 of the rarest of these shares. Raises ValueError for tensors that do not fit.
    """

    def __init__(
        self, log_weights: Tensor, centre: Tensor, factor: Tensor, tails: Tensor, rarest: Sequence[float]
    ) -> None:
        windows, kinds, count = centre.shape if centre.ndim == 3 else (0, 0, 0)
        if not windows or log_weights.shape != (windows, kinds) or factor.shape != (windows, kinds, count, count):
            raise ValueError("the kinds of places do not fit their readings and windows")
        if tails.shape != (windows, KNOTS) or len(rarest) != windows:
            raise ValueError("the tails of a map do not fit its windows")
        if not bool((tails.diff() > 0).all()):
            raise ValueError("the tails of a map must rise")
        self.log_weights, self.centre, self.factor = log_weights.float(), centre.float(), factor.float()
        self.tails = tails.float().contiguous()
        self._curves = [
            Curve(tail, log_shares(tails.device, each), BEYOND) for tail, each in zip(tails, rarest, strict=True)
        ]
        # With every kind's centre moved into the product: (S, K F, F) and (S, K F, 1).
        turned = self.factor.mT
        self._turned = turned.flatten(1, 2).contiguous()
        self._moved = (turned @ self.centre[..., None]).flatten(1, 2)
        volumes = self.factor.diagonal(dim1=2, dim2=3).log().sum(dim=2)
        heights = self.log_weights + volumes
        # What each kind's density adds, less the highest that all of them could reach together.
        self._heights = (heights - heights.logsumexp(dim=1, keepdim=True))[..., None]

    @classmethod
    def of(cls, averages: Sequence[Tensor], rarest: Sequence[float], kinds: int = KINDS) -> Kinds:
        """From averages (F, N_s) of ordinary pictures over each window."""
        able = max(1, min(kinds, *(each.shape[1] // _LEAST_OF_KIND for each in averages)))
        mixtures = [_mixture(each, able) for each in averages]
        parts = [torch.stack(part) for part in zip(*mixtures, strict=True)]
        ramp = torch.linspace(0, 1, KNOTS, device=parts[0].device).expand(len(averages), -1)
        draft = cls(parts[0], parts[1], parts[2], ramp, rarest)
        tails = [quantiles(draft.distances(each, window), rarest[window]) for window, each in enumerate(averages)]
        return cls(parts[0], parts[1], parts[2], torch.stack(tails), rarest)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str, rarest: Sequence[float]) -> Kinds:
        """From what ``tensors`` gave. Raises ValueError, and KeyError for a missing tensor."""
        parts = [tensors[f"{prefix}{name}"] for name in _NAMES]
        return cls(parts[0], parts[1], parts[2], parts[3], rarest)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What a store keeps."""
        parts = (self.log_weights, self.centre, self.factor, self.tails)
        return {f"{prefix}{name}": part.cpu() for name, part in zip(_NAMES, parts, strict=True)}

    @property
    def readings(self) -> int:
        """F, how many readings they are told by."""
        return self.centre.shape[2]

    def distances(self, averages: Tensor, window: int) -> Tensor:
        """How far out averages (F, N) over a window are, (N,): the root of twice what their log-density lacks.

        It lacks that much of the highest that the kinds could reach if their centres were the same.
        """
        return torch.cat([self._distances(part, window) for part in torch.split(averages, _AT_ONCE, dim=1)])

    def _distances(self, averages: Tensor, window: int) -> Tensor:
        whitened = torch.addmm(self._moved[window], self._turned[window], averages, beta=-1)
        squares = whitened.square_().reshape(-1, self.readings, averages.shape[1]).sum(dim=1)
        if len(squares) == 1:
            return squares[0].sqrt()
        return (self._heights[window] - squares / 2).logsumexp(dim=0).mul_(-2).clamp_min_(0).sqrt_()

    def rarity(self, averages: Tensor, window: int) -> Tensor:
        """-log10 of the share of places of ordinary pictures that are as far out in a window, (N,) of (F, N)."""
        return self._curves[window].at(self.distances(averages, window))


def _mixture(averages: Tensor, kinds: int) -> tuple[Tensor, Tensor, Tensor]:
    """The log-weights (K,), centres (K, F) and factors (K, F, F) of averages (F, N)."""
    values = averages.double()
    count = values.shape[1]
    if count > _FITTED:
        chosen = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:_FITTED]
        values = values[:, chosen.to(values.device)]
    middle = values.mean(dim=1)
    scale = ((1 + _RIDGE) * values.var(dim=1) + _LEAST).sqrt()
    shares, means, factors = fitted(((values - middle[:, None]) / scale[:, None]).T, kinds)
    return shares.float(), (middle + means * scale).float(), (factors / scale[:, None]).float()
