"""How pictures are dealt into folds and halves; if wished, so that none is judged by what is known of its own scene."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.pictures import HALVES
from trainer.errors import DataError
from trainer.pictures.plan import FOLDS

_LARGEST = 1 / 2
"""The share of the pictures that a scene may have at most, if scenes are to be kept together."""
_EVEN = 1 / 3
"""The share of a fold that each of its halves has at least."""


class Dealt(NamedTuple):
    """Where each of n pictures belongs."""

    folds: Tensor
    """(n,) the flow that is trained without it."""
    halves: Tensor
    """(n,) the half of its fold."""


def dealt(scenes: Tensor, seed: int, *, together: bool = False) -> Dealt:
    """The folds and halves of n pictures, at random. Folds differ by one picture at most, and so do halves of a fold.

    ``scenes`` (n,) are numbers of scenes. With ``together`` the pictures of a scene are in one fold, and in one half of
    it where halves stay nearly even; sizes of folds differ as those of scenes. Raises DataError where that cannot be.
    """
    n, generator = len(scenes), torch.Generator().manual_seed(seed)
    if not together:
        folds = torch.randperm(n, generator=generator) % FOLDS
        return Dealt(folds, _halves(folds, torch.arange(n), generator))
    sizes = torch.unique(scenes, return_counts=True)[1]
    largest = int(sizes.max())
    if len(sizes) < FOLDS or largest > _LARGEST * n:
        raise DataError(
            f"--together: {largest:,} of {n:,} pictures hang together, each showing a part of another one; a scene "
            f"may have half of the pictures at most, and {FOLDS} scenes are needed. Take pictures of more places, or "
            "train without it: p-values are then for new pictures of these scenes"
        )
    folds = _spread(scenes, FOLDS, generator)
    return Dealt(folds, _halves(folds, scenes, generator))


def _halves(folds: Tensor, scenes: Tensor, generator: torch.Generator) -> Tensor:
    """The half of each picture: of its fold, with the pictures of a scene in one half where the halves stay even."""
    halves = torch.empty_like(folds)
    for fold in range(FOLDS):
        own = (folds == fold).nonzero().flatten()
        found = torch.arange(len(own)) % HALVES
        if len(torch.unique(scenes[own])) < len(own):
            whole = _spread(scenes[own], HALVES, generator)
            if int(torch.bincount(whole, minlength=HALVES).min()) >= _EVEN * len(own):
                found = whole
        halves[own] = found
    return halves


def _spread(scenes: Tensor, parts: int, generator: torch.Generator) -> Tensor:
    """The part (n,) of each picture, of parts that are nearly as large: a large scene first, to the smallest part."""
    names, numbers, sizes = torch.unique(scenes, return_inverse=True, return_counts=True)
    place, filled = torch.empty(len(names), dtype=torch.long), [0] * parts
    order = torch.randperm(len(names), generator=generator)
    for scene in order[sizes[order].argsort(descending=True, stable=True)].tolist():
        smallest = filled.index(min(filled))
        place[scene] = smallest
        filled[smallest] += int(sizes[scene])
    return place[numbers]
