"""The groups of one level of a lattice flow: where their pixels are, and which others each group knows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.transforms.lattice_cells import CELL

CODE = 6
"""The number of values that represent a pixel in the input of a net."""


class LevelGroups(nn.Module):
    """What follows from the shape of pictures alone: masks, which are not saved, and how groups read and write entries.

    ``known`` (C, H, W) masks the entries of the levels before. ``groups`` (G, C, H, W) masks each group, within one
    channel; a group also knows the groups before it. Both are over cells, as a level's input (B, C, H, W). The groups
    of one place, one for each colour, follow each other.
    """

    known: Tensor
    """(G, colours, rows, columns) bool: the pixels that each group knows."""
    masks: Tensor
    """(G, H, W) bool: the entries of each group in its channel."""
    planes: Tensor
    """The channels (U,) that the groups make up: each group one of them, or several groups one each."""
    seen: Tensor
    """(G, colours CELL^2, H, W) bool: the pixels of the cells that each group knows, shifted and rotated for it."""
    useful: Tensor
    """The offsets in a cell (O,) of which any group of the first colour knows pixels; others are zero for all items."""

    def __init__(self, known: Tensor, groups: Tensor) -> None:
        super().__init__()
        self.channels = [int(group.flatten(1).any(dim=1).nonzero()) for group in groups]
        self.colours = groups.shape[1] // CELL**2
        before = torch.stack([torch.stack([known, *groups[:index]]).any(dim=0) for index in range(len(groups))])
        self.register_buffer("known", functional.pixel_shuffle(before.float(), CELL).bool(), persistent=False)
        self.register_buffer("masks", groups.any(dim=1), persistent=False)
        planes = torch.tensor(list(dict.fromkeys(self.channels)), device="cpu")
        self.register_buffer("planes", planes, persistent=False)
        each = [self.shifted(self.known[index : index + 1].float(), index) for index in range(len(groups))]
        seen = torch.cat(each).bool()
        self.register_buffer("seen", seen, persistent=False)
        by_colour = seen[:: self.colours].reshape(self.places, self.colours, CELL**2, -1)
        useful = by_colour.any(dim=(0, 1)).any(dim=1).nonzero().squeeze(1)
        self.register_buffer("useful", useful, persistent=False)

    def __len__(self) -> int:
        return len(self.channels)

    @property
    def places(self) -> int:
        """The number of groups of one colour."""
        return len(self.channels) // self.colours

    def own(self, x: Tensor) -> Tensor:
        """The channel of each group in x (B, C, H, W), group after group: planes (G B, H, W)."""
        return self.own_colours(x, range(self.places), self.colours).flatten(0, 2)

    def own_colours(self, x: Tensor, places: range, count: int) -> Tensor:
        """The channels of the first groups of some places, one for each colour: (P, ``count``, B, H, W)."""
        if len(places) == 1:
            first = places[0] * self.colours
            return torch.stack([x[:, channel] for channel in self.channels[first : first + count]]).unsqueeze(0)
        # Each channel is read once: a gradient is then a sum in a fixed order, on a GPU too.
        each = x.transpose(0, 1).index_select(0, self.planes)
        each = each.reshape(-1, self.colours, *each.shape[1:])
        if len(self.channels) > len(self.planes):  # groups of one channel
            each = each.expand(len(self.channels) // self.colours, *each.shape[1:])
        return each[places.start : places.stop : places.step, :count]

    def put(self, x: Tensor, planes: Tensor) -> None:
        """Write the groups' entries of planes (G B, H, W) to x (B, C, H, W)."""
        each = planes.reshape(len(self.channels), -1, *planes.shape[1:])
        if len(self.channels) > len(self.planes):  # groups of one channel share out its entries
            own = torch.where(self.masks.unsqueeze(1), each, 0)
            each = own.reshape(-1, len(self.planes), *each.shape[1:]).sum(dim=0)
        x.index_copy_(1, self.planes, each.transpose(0, 1))

    def put_one(self, x: Tensor, plane: Tensor, index: int) -> None:
        """Write one group's entries of a plane (B, H, W) to x."""
        channel = self.channels[index]
        x[:, channel] = torch.where(self.masks[index], plane, x[:, channel])

    def total(self, planes: Tensor) -> Tensor:
        """The sum (B,) over the groups' entries of planes (G B, H, W), for each item."""
        items = len(planes) // len(self.channels)
        entries = planes.new_zeros(items, self.colours * CELL**2, *planes.shape[1:])
        self.put(entries, planes)
        return sum_of(entries)

    def seen_of(self, code: Tensor, indices: Sequence[int]) -> Tensor:
        """Codes (B, C E, rows, columns) -> those that groups know, shifted, in cells: (G B, C, E, CELL^2, H, W)."""
        shifted = [self.shifted(code, index) for index in indices]
        each = torch.stack(shifted) if len(shifted) > 1 else shifted[0].unsqueeze(0)
        each = each.reshape(*each.shape[:2], self.colours, -1, CELL**2, *each.shape[3:])
        known = self.seen[indices[0] : indices[-1] + 1 : indices[1] - indices[0] if len(indices) > 1 else 1]
        known = known.reshape(len(indices), 1, self.colours, 1, CELL**2, *known.shape[2:])
        return (each * known).flatten(0, 1)

    def shifted(self, code: Tensor, index: int) -> Tensor:
        """Codes (B, C E, rows, columns) shifted and rotated for a group, in cells: (B, C E CELL^2, H, W).

        The group's pixels then have the same offset in their cells as those of any other, and its colour is first.
        """
        colour, offset = divmod(self.channels[index], CELL**2)
        row, column = divmod(offset, CELL)
        if colour:
            code = code.reshape(len(code), self.colours, -1, *code.shape[2:]).roll(-colour, dims=1).flatten(1, 2)
        down, right = CELL // 2 - row, CELL // 2 - column
        return functional.pixel_unshuffle(functional.pad(code, (right, -right, down, -down)), CELL)


def sum_of(entries: Tensor) -> Tensor:
    """The sum (B,) of each item's entries (B, C, H, W).

    Over one run of numbers: its bits do not depend on how many items there are. A sum over groups before items would.
    """
    return entries.flatten(1).sum(dim=1)
