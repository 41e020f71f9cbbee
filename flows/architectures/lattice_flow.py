"""The flow that is made of lattice levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from flows.errors import ShapeMismatch
from flows.flow import Flow
from flows.inpainting.sharp_modes import SharpModes
from flows.priors import StandardLogistic
from flows.transforms.lattice_cells import CELL, Cells, least_side, masks_by_level
from flows.transforms.lattice_groups import LevelGroups, sum_of
from flows.transforms.lattice_level import LatticeLevel
from flows.transforms.preprocessing import Dequantise, Flatten
from flows.transforms.transform import Transform

_AT_ONCE = 2**15
"""Entries of the items that a CPU passes through the levels at once, where it keeps no gradients.

What the nets of so many write and read again stays in its caches: passes of 500 digits took 2.5 times as long an item.
"""
_HALVED = 8
"""Places of a level of which a training step takes half; of more it takes two."""

_Results = TypeVar("_Results", bound=tuple[Tensor, ...])


class LatticeFlow(Flow, SharpModes):
    """A flow whose transforms are cells, lattice levels and a flattening; ``flows.lattice`` builds it.

    Given the pixels before it, a pixel is nearly certain to have one of a few grey levels: the modes are sharp.
    """

    quartered = 1
    """How often the first lattice is divided (see ``groups_by_level``)."""

    @property
    def takes_template(self) -> bool:
        """Whether nets can be given what is usual at each place."""
        return any(isinstance(step, LatticeLevel) and step.template for step in self.transforms)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._in_parts(self._encode, x)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._in_parts(super().decode, z)

    def encode_locally(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._in_parts(self._encode_locally, x)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_slopes = self._latents(x)
        return z, sum_of(log_slopes)

    def _encode_locally(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z, log_slopes = self._latents(x)
        cells, *_ = self.transforms
        return z, sum_of(log_slopes), cells.put_back(log_slopes)

    def _latents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The latents (B, D) of x, and the log-slope of each entry in cells (B, C, H, W)."""
        self.check(x)
        cells, *levels, flatten = self.transforms
        y, _ = cells(x)
        log_slopes = torch.zeros_like(y)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            y, own = level.to_latent(y)
            level.groups.put(log_slopes, own)
        return flatten(y)[0], log_slopes

    def pixel_log_densities(self, x: Tensor, inside: Tensor | None = None, template: Tensor | None = None) -> Tensor:
        """x (B, *item_shape), continuous -> the log-density (B, H, W) of each pixel given those before it, in nats.

        The first of ``pixel_statistics``.
        """
        return self.pixel_statistics(x, inside, template)[:, 0]

    def pixel_statistics(self, x: Tensor, inside: Tensor | None = None, template: Tensor | None = None) -> Tensor:
        """x (B, *item_shape), continuous -> the log-density of each pixel and its surprise, (B, 2, H, W), in nats.

        The log-density is given the pixels before. The surprise is log p(0) - log p(z) of a pixel's latents z, summed
        over its colours: 0 where it is in the middle of what was expected, however wide that was.

        Nets see nothing of pixels where ``inside`` (B, H, W) is false. So the sum over the pixels inside is the
        log-likelihood of a picture with a border of any shape; the other values mean nothing. In colour, heads do see
        the first colours of the cells beside theirs: what lies outside must be filled with the same colour every time,
        such as black, and the sum is a density for each such colour. ``template`` as x is what is usual at each place,
        for a flow that takes one.
        """
        self.check(x)
        cells, *levels, _ = self.transforms
        y, _ = cells(x)
        usual = _centred(cells, template)
        found, latents = torch.zeros_like(y), torch.zeros_like(y)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            # Every level reads pixels that no level has changed, so all of them can read the same y.
            z, log_slope = level.mixture(y, inside=inside, template=usual).to_latent(level.groups.own(y))
            own = self.prior.log_density(z)
            level.groups.put(found, own + log_slope)
            level.groups.put(latents, own)
        highest = self.prior.log_density(y.new_zeros(()))
        by_colour = torch.stack([cells.put_back(found), highest - cells.put_back(latents)], dim=1)
        return by_colour.reshape(*by_colour.shape[:4], -1).sum(dim=4)

    def half_log_prob(self, x: Tensor, starts: Sequence[int], template: Tensor | None = None) -> Tensor:
        """An estimate (B,) of ``log_prob`` from half of the pixels of each level.

        ``starts``, 0 or 1 for each level, say which half. The mean over all starts is ``log_prob``. Of a joint flow. It
        is for training: neighbouring pixels of a level tell a net much the same, so a step costs half and says nearly
        as much. ``template`` as for ``pixel_log_densities``.
        """
        self.check(x)
        cells, *levels, _ = self.transforms
        y, total = cells(x)
        usual = _centred(cells, template)
        for level, start in zip(levels, starts, strict=True):
            assert isinstance(level, LatticeLevel)
            total = total + level.partial_log_density(y, start, template=usual)
        return total

    def log_prob_from_few_places(self, x: Tensor) -> Tensor:
        """Estimates (B,) of ``log_prob`` from half of the places of each level, or two of a level that has more than 8.

        Which places, depends on the row: the batch is cut into parts, and each takes other places. So with rows in
        random order, the mean over a batch estimates the mean of ``log_prob`` without bias, whenever the parts are
        equal: B should be a multiple of half of the most groups of a colour in a level. Of a joint flow, for training:
        a first lattice of many groups costs a step no more than one of four.
        """
        self.check(x)
        cells, *levels, _ = self.transforms
        y, total = cells(x)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            stride = 2 if level.places <= _HALVED else level.places // 2
            parts = enumerate(y.chunk(stride))
            total = total + torch.cat([level.partial_log_density(part, start, stride) for start, part in parts])
        return total

    def on_sides(self, height: int, width: int, masks_of: LatticeFlow | None = None) -> LatticeFlow:
        """This flow for pictures of another size, with the same nets. Only of a flow that works ``anywhere``.

        ``masks_of`` is a flow of the same arguments and of that size: masks are shared with it, for less memory. Both
        sides must be multiples of 4, and at least 8, or 12 and 20 with ``quartered`` 2 and 3.
        """
        least = least_side(self.quartered)
        if height % CELL or width % CELL or min(height, width) < least:
            raise ShapeMismatch(f"sides must be multiples of {CELL} from {least} on, got {height}x{width}")
        shape = (height, width, *self.item_shape[2:])
        cells, levels = Cells(shape), [step for step in self.transforms if isinstance(step, LatticeLevel)]
        if masks_of is None:
            masks = reversed(list(masks_by_level(cells.shape, self.quartered)))
            moved: list[Transform] = [
                level.on_grid(LevelGroups(*own)) for level, own in zip(levels, masks, strict=True)
            ]
        else:
            others = [step for step in masks_of.transforms if isinstance(step, LatticeLevel)]
            moved = [level.on_grid(other.groups) for level, other in zip(levels, others, strict=True)]
        prior = StandardLogistic((math.prod(shape),))
        flow = LatticeFlow(shape, [cells, *moved, Flatten(cells.shape)], prior, Dequantise())
        flow.quartered = self.quartered
        return flow.to(self.device)

    def smoothed_log_prob(self, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x)
        cells, *levels, flatten = self.transforms
        y, _ = cells(x)
        latents, found, smoothed = y.detach().clone(), torch.zeros_like(y), torch.zeros_like(y)
        joint = all(isinstance(level, LatticeLevel) and level.joint for level in levels)
        for level in levels:
            assert isinstance(level, LatticeLevel)
            # Every level reads pixels that no level has changed, so all of them can read the same y.
            mixture, own = level.mixture(y), level.groups.own(y)
            level.groups.put(smoothed, mixture.smoothed(own, width.repeat(len(level.groups))))
            with torch.no_grad():
                if joint:  # the same value without the latents; a flow of single colours keeps its last bits
                    level.groups.put(found, mixture.log_density(own))
                    continue
                z, log_slope = mixture.to_latent(own)
                level.groups.put(latents, z)
                level.groups.put(found, log_slope)
        total = sum_of(found) if joint else self.prior.log_prob(flatten(latents)[0]) + sum_of(found)
        return total.detach(), sum_of(smoothed)

    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        return self._in_parts(self._redraw, x, chosen, uniform)

    def _redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        cells, *levels, flatten = self.transforms
        y, redrawn, draws = (cells(each)[0] for each in (x, chosen.to(x.dtype), uniform))
        latents, log_slopes = torch.zeros_like(y), torch.zeros_like(y)
        for level in reversed(levels):
            assert isinstance(level, LatticeLevel)
            level.redraw(y, redrawn.bool(), draws, latents, log_slopes)
        log_densities = self.prior.log_density(flatten(latents)[0]) + flatten(log_slopes)[0]
        return cells.inverse(y)[0], self.in_item_layout(log_densities)

    def _in_parts(self, work: Callable[..., _Results], *batches: Tensor) -> _Results:
        """``work`` of batches of the same length, a part after another on a CPU (see ``_AT_ONCE``)."""
        rows = max(1, _AT_ONCE // self.dimensions)
        if len(batches[0]) <= rows or self.device.type != "cpu" or torch.is_grad_enabled():
            return work(*batches)
        parts = zip(*(torch.split(each, rows) for each in batches), strict=True)
        results = zip(*(work(*part) for part in parts), strict=True)
        return tuple(torch.cat(each) for each in results)  # type: ignore[return-value]


def _centred(cells: Transform, template: Tensor | None) -> Tensor | None:
    """What is usual (B, *item_shape) in [0, 1] -> planes (B, colours, H, W) from -1 to 1."""
    assert isinstance(cells, Cells)
    return None if template is None else 2 * cells.planes(template)[0] - 1
