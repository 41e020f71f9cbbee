"""Maps without a flow: how far the patch around each pixel is from the patches of ordinary pictures.

Three ideas of industrial anomaly detection, on the raw pixels of 5x5 patches instead of on the features of a net that
was trained on other pictures: the nearest patch (Roth et al. 2022, PatchCore), a Gaussian at each place (Defard et al.
2021, PaDiM), and what the principal components of patches leave over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

_SIDE = 5
_MEMORY = 4000
"""Patches that the nearest one is sought among."""
_COMPONENTS = 8
_RIDGE = 1e-2
"""Added to variances: one place of a digit's border never varies. Pixels are in [0, 1], so this is a tenth of them."""
_BATCH = 50


def patches(items: Tensor) -> Tensor:
    """(N, H, W) or (N, H, W, C) uint8 -> (N, H, W, 25 C) in [0, 1]: the patch around each pixel, edges repeated."""
    planes = items.float().reshape(*items.shape[:3], -1).movedim(3, 1) / 255
    padded = functional.pad(planes, (_SIDE // 2,) * 4, mode="replicate")
    columns = functional.unfold(padded, _SIDE)
    return columns.transpose(1, 2).reshape(*items.shape[:3], -1)


class Baseline(ABC):
    """Fitted to ordinary pictures (N, H, W[, C]); the larger a place's score, the stranger."""

    @abstractmethod
    def __init__(self, ordinary: Tensor) -> None: ...

    @abstractmethod
    def of_patches(self, found: Tensor) -> Tensor:
        """(N, H, W, P) -> (N, H, W)."""

    def score(self, items: Tensor) -> Tensor:
        """The scores (N, H, W) of pictures."""
        return torch.cat([self.of_patches(patches(part)) for part in torch.split(items, _BATCH)])


class NearestPatch(Baseline):
    def __init__(self, ordinary: Tensor) -> None:
        every = patches(ordinary).flatten(0, 2)
        chosen = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:_MEMORY]
        self._memory = every[chosen]

    def of_patches(self, found: Tensor) -> Tensor:
        flat = found.flatten(0, 2)
        near = [torch.cdist(part, self._memory).amin(dim=1) for part in torch.split(flat, 4096)]
        return torch.cat(near).reshape(found.shape[:3])


class GaussianPatch(Baseline):
    def __init__(self, ordinary: Tensor) -> None:
        found = patches(ordinary).flatten(1, 2).double()
        self._mean = found.mean(dim=0)
        centred = (found - self._mean).movedim(1, 0)
        covariance = centred.transpose(1, 2) @ centred / len(ordinary)
        self._precision = torch.linalg.inv(covariance + _RIDGE * torch.eye(covariance.shape[1], dtype=torch.float64))

    def of_patches(self, found: Tensor) -> Tensor:
        centred = found.flatten(1, 2).double() - self._mean
        whole = (torch.einsum("npi,pij->npj", centred, self._precision) * centred).sum(dim=2)
        return whole.reshape(found.shape[:3]).float()


class ResidualPatch(Baseline):
    def __init__(self, ordinary: Tensor) -> None:
        every = patches(ordinary).flatten(0, 2).double()
        self._mean = every.mean(dim=0)
        covariance = torch.cov((every - self._mean).T)
        self._kept = torch.linalg.eigh(covariance).eigenvectors[:, -_COMPONENTS:]

    def of_patches(self, found: Tensor) -> Tensor:
        centred = found.double() - self._mean
        left: Tensor = centred - centred @ self._kept @ self._kept.T
        return left.square().sum(dim=3).float()


BASELINES: dict[str, type[Baseline]] = {
    "patch kNN": NearestPatch,
    "PCA residual": ResidualPatch,
    "Gaussian patches": GaussianPatch,
}
