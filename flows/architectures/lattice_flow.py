"""The flow of lattice levels."""

from __future__ import annotations

import torch
from torch import Tensor

from flows.flow import Flow
from flows.transforms.lattice_level import LatticeLevel


class LatticeFlow(Flow):
    """A flow of lattice levels: given what is known, a pixel is nearly sure of a few grey levels."""

    @property
    def has_sharp_modes(self) -> bool:
        return True

    def encode_locally(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.check(x)
        cells, *levels, flatten = self.transforms
        y, total = cells(x)
        log_slopes = torch.zeros_like(y)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            y, own = level.to_latent(y)
            level.put(log_slopes, own)
            total = total + level.total(own)
        return flatten(y)[0], total, cells.put_back(log_slopes)

    def landscape(self, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x)
        cells, *levels, flatten = self.transforms
        y, total = cells(x)
        latents, smoothed = y.detach().clone(), torch.zeros_like(total)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            # A level looks at pixels that no level has changed, so that none has to wait for another.
            mixture, own = level.mixture(y), level.own(y)
            smoothed = smoothed + level.total(mixture.smoothed(own, width.repeat(len(level.channels))))
            with torch.no_grad():
                z, log_slope = mixture.to_latent(own)
                level.put(latents, z)
                total = total + level.total(log_slope)
        return self.prior.log_prob(flatten(latents)[0]) + total.detach(), smoothed

    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        cells, *levels, flatten = self.transforms
        y, drawn, lots = (cells(each)[0] for each in (x, chosen.to(x.dtype), uniform))
        latents, log_slopes = torch.zeros_like(y), torch.zeros_like(y)
        for level in reversed(levels):
            assert isinstance(level, LatticeLevel)
            level.redraw(y, drawn.bool(), lots, latents, log_slopes)
        log_densities = self.prior.log_density(flatten(latents)[0]) + flatten(log_slopes)[0]
        return cells.inverse(y)[0], self.in_place(log_densities)
