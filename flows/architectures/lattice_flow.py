"""The flow that is made of lattice levels."""

from __future__ import annotations

import torch
from torch import Tensor

from flows.flow import Flow
from flows.inpainting.sharp_modes import SharpModes
from flows.transforms.lattice_level import LatticeLevel


class LatticeFlow(Flow, SharpModes):
    """A flow whose transforms are cells, lattice levels and a flattening; ``flows.lattice`` builds it.

    Given the pixels before it, a pixel is nearly certain to have one of a few grey levels: the modes are sharp.
    """

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

    def smoothed_log_prob(self, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x)
        cells, *levels, flatten = self.transforms
        y, total = cells(x)
        latents, smoothed = y.detach().clone(), torch.zeros_like(total)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            # Every level reads pixels that no level has changed, so all of them can read the same y.
            mixture, own = level.mixture(y), level.own(y)
            smoothed = smoothed + level.total(mixture.smoothed(own, width.repeat(len(level.channels))))
            with torch.no_grad():
                z, log_slope = mixture.to_latent(own)
                level.put(latents, z)
                total = total + level.total(log_slope)
        return self.prior.log_prob(flatten(latents)[0]) + total.detach(), smoothed

    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        cells, *levels, flatten = self.transforms
        y, redrawn, draws = (cells(each)[0] for each in (x, chosen.to(x.dtype), uniform))
        latents, log_slopes = torch.zeros_like(y), torch.zeros_like(y)
        for level in reversed(levels):
            assert isinstance(level, LatticeLevel)
            level.redraw(y, redrawn.bool(), draws, latents, log_slopes)
        log_densities = self.prior.log_density(flatten(latents)[0]) + flatten(log_slopes)[0]
        return cells.inverse(y)[0], self.in_item_layout(log_densities)
