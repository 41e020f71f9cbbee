"""A kernel density over a few statistics (Morningstar et al. 2021, "Density of states estimation")."""

from __future__ import annotations

import torch
from torch import Tensor

_RIDGE = 1e-3
_CHUNK = 256
_FAR = 1e9  # bandwidths; further out everything is equally strange, and float32 keeps its range
_LOWEST = -80.0  # exponents; beneath it a sum in float32 changes no digit, and subnormal numbers are slow


class KernelDensity:
    """Gaussian kernels on whitened points, with Scott's bandwidth n^(-1/(k+4)).

    ``points`` (n, k) float64, each column in units of about its spread. What is asked is only how densities compare, so
    they are not normalised.
    """

    def __init__(self, points: Tensor) -> None:
        count, dimensions = points.shape
        self._mean = points.mean(dim=0)
        centred = points - self._mean
        covariance = centred.T @ centred / count + _RIDGE * torch.eye(dimensions, dtype=points.dtype)
        self._whitener = torch.linalg.cholesky(torch.linalg.inv(covariance)) * count ** (1 / (dimensions + 4))
        self._centres = (centred @ self._whitener).float()
        self._half_squares = 0.5 * self._centres.square().sum(dim=1)

    def strangeness(self, points: Tensor) -> Tensor:
        """points (B, k) -> minus the log-density, up to a constant (B,); infinite where a point is not finite."""
        if len(points) <= _CHUNK:
            return self._strangeness(points)
        return torch.cat([self._strangeness(part) for part in torch.split(points, _CHUNK)])

    def strangeness_left_out(self) -> Tensor:
        """The same of each point that the density was made from, by the kernels of the others (n,)."""
        centres = self._centres
        parts = torch.split(torch.arange(len(centres)), _CHUNK)
        return torch.cat([self._strangeness_of(centres[part], part) for part in parts]).double()

    def _strangeness(self, points: Tensor) -> Tensor:
        whitened = ((points - self._mean) @ self._whitener).clamp(-_FAR, _FAR).float()
        found = self._strangeness_of(whitened).double()
        return found.where(points.isfinite().all(dim=1), torch.inf)

    def _strangeness_of(self, whitened: Tensor, left_out: Tensor | None = None) -> Tensor:
        # -|w - c|^2 / 2 = w c - |c|^2 / 2 - |w|^2 / 2: one product, in float32, since ranks need no more digits. The
        # exponential of a whole matrix is what costs time, so it is taken in place.
        exponents = torch.addmm(self._half_squares, whitened, self._centres.T, beta=-1)
        if left_out is not None:
            exponents[torch.arange(len(left_out)), left_out] = -torch.inf
        largest = exponents.amax(dim=1)
        sums = exponents.sub_(largest[:, None]).clamp_min_(_LOWEST).exp_().sum(dim=1)
        return 0.5 * whitened.square().sum(dim=1) - largest - sums.log()
