"""A kernel density over a few statistics (Morningstar et al. 2021, "Density of states estimation")."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_RIDGE = 1e-3
_CHUNK = 256
_FAR = 1e9  # bandwidths; further out everything is equally strange, and float32 keeps its range
_KERNELS, _EACH = 512, 40
"""So many points have a kernel, or so many for each statistic where that is more: what a verdict costs grows with them,
and of a few statistics more of them tell nothing new."""
_LOWEST = -80.0  # exponents; beneath it a sum in float32 changes no digit, and subnormal numbers are slow


class KernelDensity:
    """Gaussian kernels on n whitened points, with Scott's bandwidth n^(-1/(k+4)).

    ``points`` (N, k) float64, each column in units of about its spread: all of them whiten, and n of them, the first,
    have a kernel. What is asked is only how densities compare, so they are not normalised.
    """

    def __init__(self, points: Tensor) -> None:
        dimensions = points.shape[1]
        count = min(len(points), max(_KERNELS, _EACH * dimensions))
        self._mean = points.mean(dim=0)
        centred = points - self._mean
        covariance = centred.T @ centred / len(points) + _RIDGE * torch.eye(dimensions, dtype=points.dtype)
        self._whitener = torch.linalg.cholesky(torch.linalg.inv(covariance)) * count ** (1 / (dimensions + 4))
        self._whitened = (centred @ self._whitener).float()
        self._centres = self._whitened[:count]
        self._half_squares = 0.5 * self._centres.square().sum(dim=1)

    def strangeness(self, points: Tensor) -> Tensor:
        """points (B, k) -> minus the log-density, up to a constant (B,); infinite where a point is not finite."""
        if len(points) <= _CHUNK:
            return self._strangeness(points)
        return torch.cat([self._strangeness(part) for part in torch.split(points, _CHUNK)])

    def strangeness_left_out(self) -> Tensor:
        """The same of each point that the density was made from, by the kernels of the others (N,)."""
        parts = torch.split(torch.arange(len(self._whitened)), _CHUNK)
        return torch.cat([self._strangeness_of(self._whitened[part], part) for part in parts]).double()

    def _strangeness(self, points: Tensor) -> Tensor:
        whitened = ((points - self._mean) @ self._whitener).clamp(-_FAR, _FAR).float()
        found = self._strangeness_of(whitened).double()
        # A sum is finite where all its terms are, and takes a fraction of the time of looking at each.
        return found.where(points.sum(dim=1).isfinite(), torch.inf)

    def _strangeness_of(self, whitened: Tensor, left_out: Tensor | None = None) -> Tensor:
        # -|w - c|^2 / 2 = w c - |c|^2 / 2 - |w|^2 / 2: one product, in float32, since ranks need no more digits. The
        # exponential of a whole matrix is what costs time, so it is taken in place.
        exponents = functional.linear(whitened, self._centres, -self._half_squares)
        if left_out is not None:
            own = left_out[left_out < len(self._centres)]
            exponents[torch.arange(len(own)), own] = -torch.inf
        largest = exponents.amax(dim=1)
        sums = exponents.sub_(largest[:, None]).clamp_min_(_LOWEST).exp_().sum(dim=1)
        return 0.5 * whitened.square().sum(dim=1) - largest - sums.log()
