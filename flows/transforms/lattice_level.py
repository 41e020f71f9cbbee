"""One level of a lattice flow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from flows.nets.lattice_net import CellNet, PixelCode
from flows.transforms.lattice_cells import CELL
from flows.transforms.mixture import UnitMixture
from flows.transforms.transform import Transform, no_volume_change

CODE = 6
"""Numbers that a net sees of each pixel."""


class LatticeLevel(Transform):
    """Takes the groups of one level to latents by mixtures that one net chooses from the pixels known before.

    To each group the net is shown the image moved so that the group's own pixels stand in the same place of their
    cells, colours beginning with theirs: pixels of one level stand between known ones in much the same way, and what
    is learnt of one serves all. ``known`` and ``groups`` are masks over cells: (C, H, W) of what levels before have
    settled, and (G, C, H, W), each group in one channel and knowing those before it.
    """

    known: Tensor
    """(G, colours, rows, columns): the pixels that each group knows."""
    groups: Tensor
    """(G, H, W): the entries that each has in its channel."""

    def __init__(self, known: Tensor, groups: Tensor, width: int, blocks: int, components: int) -> None:
        super().__init__()
        self.channels = [int(group.flatten(1).any(dim=1).nonzero()) for group in groups]
        self.colours = groups.shape[1] // CELL**2
        self.components = components
        before = torch.stack([torch.stack([known, *groups[:index]]).any(dim=0) for index in range(len(groups))])
        # They follow from the shape: no state, and there even where the weights are not (the meta device).
        self.register_buffer("known", functional.pixel_shuffle(before.float(), CELL).bool(), persistent=False)
        self.register_buffer("groups", groups.any(dim=1), persistent=False)
        self.code = PixelCode(CODE)
        channels, answer = CODE * groups.shape[1], UnitMixture.start(components)
        self.net = CellNet(channels, len(groups), groups.shape[2:], width, blocks, answer)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self.to_latent(x)
        return y, self.total(log_slope)

    def to_latent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W) -> y, and the log-slopes (G B, H, W) of the groups' own planes: see ``put`` and ``total``."""
        z, log_slope = self.mixture(x).to_latent(self.own(x))
        y = x.clone()
        self.put(y, z)
        return y, log_slope

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        x, total = y.clone(), no_volume_change(y)
        for index, channel in enumerate(self.channels):
            pixels, log_slope = self.mixture(x, index).from_latent(y[:, channel])
            self._put(x, pixels, index)
            total = total + torch.where(self.groups[index], log_slope, 0).flatten(1).sum(dim=1)
        return x, total

    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor, latents: Tensor, log_slopes: Tensor) -> None:
        """Draw the chosen entries of x (B, C, H, W) anew where they are the level's, in place, group after group.

        Puts the latents and log-slopes of all entries of the level, those of the new x, into theirs.
        """
        for index, channel in enumerate(self.channels):
            mixture = self.mixture(x, index)
            pixels = x[:, channel].where(~chosen[:, channel], mixture.draw(uniform[:, channel]))
            self._put(x, pixels, index)
            for target, plane in zip((latents, log_slopes), mixture.to_latent(pixels), strict=True):
                self._put(target, plane, index)

    def mixture(self, x: Tensor, index: int | None = None) -> UnitMixture:
        """Of the pixels of one group, or of all, group after group; x holds pixels wherever they are known."""
        which = range(len(self.channels)) if index is None else range(index, index + 1)
        # What is not known may be a latent, which is no pixel and may be large.
        code = self.code(torch.where(self.known[which[-1]], functional.pixel_shuffle(x, CELL), 0))
        seen = torch.cat([self._seen(code, index) for index in which])
        return UnitMixture(self.net(seen, slice(which[0], which[-1] + 1)), self.components)

    def _seen(self, code: Tensor, index: int) -> Tensor:
        """Codes (B, C E, rows, columns) to what a group knows of them, moved: (B, C E CELL^2, H, W)."""
        colour, offset = divmod(self.channels[index], CELL**2)
        row, column = divmod(offset, CELL)
        code = code.reshape(len(code), self.colours, CODE, *code.shape[2:]) * self.known[index].unsqueeze(1)
        code = code.roll(-colour, dims=1).flatten(1, 2)
        down, right = CELL // 2 - row, CELL // 2 - column
        return functional.pixel_unshuffle(functional.pad(code, (right, -right, down, -down)), CELL)

    def own(self, x: Tensor) -> Tensor:
        """The groups' own planes (G B, H, W) of x (B, C, H, W)."""
        return torch.cat([x[:, channel] for channel in self.channels])

    def put(self, x: Tensor, planes: Tensor) -> None:
        """Put the groups' entries of planes (G B, H, W) in their places of x (B, C, H, W)."""
        for index, plane in enumerate(planes.chunk(len(self.channels))):
            self._put(x, plane, index)

    def _put(self, x: Tensor, plane: Tensor, index: int) -> None:
        """Put a group's entries of a plane (B, H, W) in their place."""
        channel = self.channels[index]
        x[:, channel] = torch.where(self.groups[index], plane, x[:, channel])

    def total(self, planes: Tensor) -> Tensor:
        """The groups' entries of planes (G B, H, W), summed up for each item: (B,)."""
        own = torch.where(self.groups.unsqueeze(1), planes.reshape(len(self.channels), -1, *planes.shape[1:]), 0)
        return own.sum(dim=(0, 2, 3))
