"""A kernel density over a few statistics (Morningstar et al. 2021, "Density of states estimation")."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_RIDGE = 1e-3
_BATCH = 256
_FARTHEST = 1e9
"""In bandwidths. Points farther out get the same score, which keeps float32 in range."""
_KERNELS, _KERNELS_EACH = 512, 40
"""The number of kernels: 512, or 40 for each statistic if that is more. The cost of a verdict grows with it, and for a
few statistics more kernels add nothing."""
_LOWEST = -80.0
"""The least exponent. Smaller ones change no digit of a float32 sum, and subnormal numbers are slow."""


class KernelDensity:
    """An unnormalised sum of Gaussian kernels on n whitened points, with Scott's bandwidth n^(-1/(k+4)).

    ``points`` (N, k) are float64, each column with a spread near 1. All N points determine the whitening; the first n
    carry a kernel. Scores are only compared with each other, so the density needs no normalisation.
    """

    def __init__(self, points: Tensor) -> None:
        dimensions = points.shape[1]
        count = min(len(points), max(_KERNELS, _KERNELS_EACH * dimensions))
        self._mean = points.mean(dim=0)
        centred = points - self._mean
        covariance = centred.T @ centred / len(points) + _RIDGE * torch.eye(
            dimensions, dtype=points.dtype, device=points.device
        )
        self._whitener = torch.linalg.cholesky(torch.linalg.inv(covariance)) * count ** (1 / (dimensions + 4))
        self._whitened = (centred @ self._whitener).float()
        self._centres = self._whitened[:count]
        self._half_squares = 0.5 * self._centres.square().sum(dim=1)

    def scores(self, points: Tensor) -> Tensor:
        """Minus the log-density (B,), up to a constant, of points (B, k); infinite for points that are not finite."""
        if len(points) <= _BATCH:
            return self._scores(points)
        return torch.cat([self._scores(part) for part in torch.split(points, _BATCH)])

    def leave_one_out_scores(self) -> Tensor:
        """The scores (N,) of the density's own points, each without its own kernel."""
        parts = torch.split(torch.arange(len(self._whitened)), _BATCH)
        return torch.cat([self._scores_of_whitened(self._whitened[part], part) for part in parts]).double()

    def _scores(self, points: Tensor) -> Tensor:
        whitened = ((points - self._mean) @ self._whitener).clamp(-_FARTHEST, _FARTHEST).float()
        found = self._scores_of_whitened(whitened).double()
        # A sum is finite only if its terms are, and is several times faster than a look at each term.
        return found.where(points.sum(dim=1).isfinite(), torch.inf)

    def _scores_of_whitened(self, whitened: Tensor, left_out: Tensor | None = None) -> Tensor:
        # -|w - c|^2 / 2 = w c - |c|^2 / 2 - |w|^2 / 2 is one matrix product. float32 has enough digits for ranks. The
        # exponential of the whole matrix takes most of the time, so it is computed in place.
        exponents = functional.linear(whitened, self._centres, -self._half_squares)
        if left_out is not None:
            own = left_out[left_out < len(self._centres)]
            exponents[torch.arange(len(own)), own] = -torch.inf
        largest = exponents.amax(dim=1)
        sums = exponents.sub_(largest[:, None]).clamp_min_(_LOWEST).exp_().sum(dim=1)
        return 0.5 * whitened.square().sum(dim=1) - largest - sums.log()
