"""Crops of pictures, at random places, and mirrored or turned where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What is done to the crops that a flow is trained on."""

    flip: bool = False
    """Half of them are mirrored, left to right."""
    turn: bool = False
    """They are turned by 0, 90, 180 or 270 degrees, each as often."""

    @property
    def told(self) -> str:
        """In words, for people."""
        named = [word for word, chosen in (("mirrored", self.flip), ("turned by 90 degrees", self.turn)) if chosen]
        return " and ".join(named) or "as they are"


AS_THEY_ARE = Augmentation()


class Places(NamedTuple):
    """Where crops lie, and how each is changed. Equal places of two lists of pictures show the same part of both."""

    picture: list[int]
    row: list[int]
    column: list[int]
    flipped: list[bool]
    turns: list[int]


def places(
    sizes: Sequence[tuple[int, int]], side: int, count: int, seed: int, augmentation: Augmentation = AS_THEY_ARE
) -> Places:
    """``count`` random places for squares in pictures of these heights and widths, all at least ``side``.

    Every pixel of the pictures together is about equally likely to be in one: larger pictures give more squares.
    """
    generator = torch.Generator().manual_seed(seed)
    areas = torch.tensor([float(height * width) for height, width in sizes])
    chosen = torch.multinomial(areas, count, replacement=True, generator=generator).tolist()
    shares = torch.rand(count, 2, generator=generator, dtype=torch.float64).tolist()
    rows = [int(down * (sizes[index][0] - side + 1)) for index, (down, _) in zip(chosen, shares, strict=True)]
    columns = [int(across * (sizes[index][1] - side + 1)) for index, (_, across) in zip(chosen, shares, strict=True)]
    flipped = torch.randint(2, (count,), generator=generator) * augmentation.flip
    turns = torch.randint(4, (count,), generator=generator) * augmentation.turn
    return Places(chosen, rows, columns, flipped.bool().tolist(), turns.tolist())


def taken(pictures: Sequence[Tensor], side: int, where: Places) -> Tensor:
    """The squares (N, side, side[, C]) of uint8 pictures (H, W[, C]) at these places."""
    return torch.stack(
        [
            changed(pictures[index][row : row + side, column : column + side], flipped, turns)
            for index, row, column, flipped, turns in zip(*where, strict=True)
        ]
    )


def changed(crop: Tensor, flipped: bool, turns: int) -> Tensor:
    """A crop (S, S[, C]), mirrored or not, then turned by so many quarters."""
    return torch.rot90(crop.flip(1) if flipped else crop, turns)


def large_enough(pictures: Sequence[Tensor], side: int) -> list[Tensor]:
    """The pictures (H, W[, C]) that a square of this side fits into."""
    return [picture for picture in pictures if min(picture.shape[:2]) >= side]


def cut(
    pictures: Sequence[Tensor], side: int, count: int, seed: int, augmentation: Augmentation = AS_THEY_ARE
) -> Tensor:
    """``count`` squares (count, side, side[, C]) of those uint8 pictures (H, W[, C]) that are large enough.

    They lie at random ``places``. At least one picture must be large enough.
    """
    pictures = large_enough(pictures, side)
    sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    return taken(pictures, side, places(sizes, side, count, seed, augmentation))
