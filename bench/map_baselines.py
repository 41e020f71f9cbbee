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
_PLACES = 2**12
"""Places whose Gaussians are fitted at once."""
_PIXELS = 2**18
"""Pixels whose patches are looked at at once, about: those of colour pictures have 75 values each."""


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
        return torch.cat([self.of_patches(patches(part)) for part in _parts(items)])


def _parts(items: Tensor) -> tuple[Tensor, ...]:
    """Pictures (N, H, W[, C]), few enough at once that their patches fit into memory."""
    return torch.split(items, max(1, _PIXELS // items[0].shape[:2].numel()))


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
        found = patches(ordinary).flatten(1, 2).movedim(1, 0)
        self._mean = found.double().mean(dim=1)
        self._precision = found.new_empty(*self._mean.shape, found.shape[2], dtype=torch.float64)
        ridge = _RIDGE * torch.eye(found.shape[2], dtype=torch.float64)
        for start in range(0, len(found), _PLACES):  # all covariances at once would take twice the memory
            part = slice(start, start + _PLACES)
            centred = found[part].double() - self._mean[part, None]
            self._precision[part] = torch.linalg.inv(centred.mT @ centred / len(ordinary) + ridge)

    def of_patches(self, found: Tensor) -> Tensor:
        centred = found.flatten(1, 2).double() - self._mean
        whole = (torch.einsum("npi,pij->npj", centred, self._precision) * centred).sum(dim=2)
        return whole.reshape(found.shape[:3]).float()


class ResidualPatch(Baseline):
    def __init__(self, ordinary: Tensor) -> None:
        every = [patches(part).flatten(0, 2) for part in _parts(ordinary)]
        count = sum(len(part) for part in every)
        self._mean = sum(part.double().sum(dim=0) for part in every) / count
        scatter = sum((part.double() - self._mean).T @ (part.double() - self._mean) for part in every)
        self._kept = torch.linalg.eigh(scatter / (count - 1)).eigenvectors[:, -_COMPONENTS:]

    def of_patches(self, found: Tensor) -> Tensor:
        centred = found.double() - self._mean
        left: Tensor = centred - centred @ self._kept @ self._kept.T
        return left.square().sum(dim=3).float()


BASELINES: dict[str, type[Baseline]] = {
    "patch kNN": NearestPatch,
    "PCA residual": ResidualPatch,
    "Gaussian patches": GaussianPatch,
}
