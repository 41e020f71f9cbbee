"""A kernel density over a few statistics (Morningstar et al. 2021, "Density of states estimation")."""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-3
_CHUNK = 4096
_FAR = 1e9  # bandwidths; further out everything is equally strange, and float32 keeps its range


class KernelDensity:
    """Gaussian kernels on whitened points, with Scott's bandwidth n^(-1/(k+4)).

    ``points`` (n, k) float64. What is asked is only how densities compare, so they are not normalised.
    """

    def __init__(self, points: Tensor) -> None:
        count, dimensions = points.shape
        self._mean = points.mean(dim=0)
        # A statistic that does not vary (a point model's complexity) says nothing; it must not divide by zero.
        self._std = points.std(dim=0).clamp_min(1e-9)
        scaled = (points - self._mean) / self._std
        covariance = scaled.T @ scaled / count + _RIDGE * torch.eye(dimensions, dtype=points.dtype)
        self._whitener = torch.linalg.cholesky(torch.linalg.inv(covariance)) * count ** (1 / (dimensions + 4))
        self._centres = (scaled @ self._whitener).float()

    def strangeness(self, points: Tensor) -> Tensor:
        """points (B, k) -> minus the log-density, up to a constant (B,); infinite where a point is not finite."""
        return torch.cat([self._strangeness(part) for part in torch.split(points, _CHUNK)])

    def strangeness_left_out(self) -> Tensor:
        """The same of each point that the density was made from, by the kernels of the others (n,)."""
        centres = self._centres
        parts = torch.split(torch.arange(len(centres)), _CHUNK)
        return torch.cat([self._strangeness_of(centres[part], part) for part in parts]).double()

    def _strangeness(self, points: Tensor) -> Tensor:
        whitened = ((points - self._mean) / self._std @ self._whitener).clamp(-_FAR, _FAR).float()
        found = self._strangeness_of(whitened).double()
        return found.where(points.isfinite().all(dim=1), torch.inf)

    def _strangeness_of(self, whitened: Tensor, left_out: Tensor | None = None) -> Tensor:
        # Squared distances by one product, in float32: a tenth of the time, and ranks need no more digits.
        squares = whitened.square().sum(dim=1)[:, None] + self._centres.square().sum(dim=1)
        exponents = (whitened @ self._centres.T - 0.5 * squares).clamp_max(0)
        if left_out is not None:
            exponents[torch.arange(len(left_out)), left_out] = -torch.inf
        return -torch.logsumexp(exponents, dim=1)
