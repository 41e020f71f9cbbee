"""How pictures are dealt, so that none is judged by what is known of its own scene, and no flow is chosen by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.pictures import HALVES
from trainer.pictures.parting import pieces
from trainer.pictures.plan import FOLDS, PARTS


class Dealt(NamedTuple):
    """Where each of n pictures belongs."""

    folds: Tensor
    """(n,) the flow that is trained without it."""
    halves: Tensor
    """(n,) the half of its fold."""
    pairs: Tensor
    """(m, 2) the pictures that stay together."""

    def apart(self, among: Tensor, share: int, seed: int) -> tuple[list[int], list[int]]:
        """The pictures of ``among`` (n,) bool without about one of ``share``, and these, which are of other scenes.

        At random, two at least. A scene that has more than they should is cut, and a piece of it goes with them.
        """
        numbers = among.nonzero().flatten()
        wanted = max(2, len(numbers) // share)
        part = pieces(_within(self.pairs, among), len(numbers), wanted)
        sizes = part.bincount()
        drawn = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(seed))
        taken, left = torch.zeros(len(sizes), dtype=torch.bool), wanted
        for each in drawn.tolist():
            if sizes[each] <= 2 * left:  # their number comes nearer to what is wanted
                taken[each], left = True, left - int(sizes[each])
        order = drawn.argsort()[part].argsort(stable=True)
        return numbers[order[~taken[part[order]]]].tolist(), numbers[order[taken[part[order]]]].tolist()


def dealt(pairs: Tensor, count: int, seed: int) -> Dealt:
    """The folds and halves of pictures, at random; those of ``pairs`` (m, 2) show the same scene and stay together.

    Without pairs folds differ by one picture at most, and so do halves of a fold. With them sizes differ as those of
    scenes. A scene with more pictures than a half should have is cut, and its pieces are rather in two folds than in
    two halves of one: what is usual is told by few pictures, and a flow has seen many.
    """
    generator = torch.Generator().manual_seed(seed)
    if not len(pairs):
        folds = torch.randperm(count, generator=generator) % FOLDS
    else:
        parts = _spread(pieces(pairs, count, count // PARTS), PARTS, generator)
        torn = torch.zeros(PARTS, PARTS, dtype=torch.long)
        torn.index_put_(tuple(parts[pairs].T), torch.ones(len(pairs), dtype=torch.long), accumulate=True)
        torn += torn.T.clone()
        couples = min(_couples(tuple(range(PARTS))), key=lambda each: sum(int(torn[couple]) for couple in each))
        folds = torch.empty(count, dtype=torch.long)
        for fold, couple in enumerate(couples):
            folds[torch.isin(parts, torch.tensor(couple))] = fold
    return Dealt(folds, halved(pairs, folds, generator), pairs)


def halved(pairs: Tensor, folds: Tensor, generator: torch.Generator) -> Tensor:
    """The half (n,) of each picture in its fold; those of ``pairs`` (m, 2) in a fold share a half where they can."""
    halves = torch.empty_like(folds)
    for fold in range(FOLDS):
        within = folds == fold
        own, count = _within(pairs, within), int(within.sum())
        turns = torch.arange(count) % HALVES
        most = max(count // HALVES, len(folds) // PARTS)  # what stayed whole so far does so here, in a small fold too
        halves[within] = _spread(pieces(own, count, most), HALVES, generator) if len(own) else turns
    return halves


def _within(pairs: Tensor, among: Tensor) -> Tensor:
    """The pairs of pictures that are both ``among`` (n,) the wanted ones, by their places among these."""
    return (among.cumsum(0) - 1)[pairs[among[pairs].all(dim=1)]]


def _couples(parts: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], ...]]:
    """All ways to make couples of an even number of parts."""
    if not parts:
        yield ()
    for other in parts[1:]:
        left = tuple(each for each in parts[1:] if each != other)
        yield from (((parts[0], other), *rest) for rest in _couples(left))


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
