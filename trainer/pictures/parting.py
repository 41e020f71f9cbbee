"""Scenes from the pairs of pictures that show the same, and pieces of scenes that are too large to stay whole.

Frames of a film, and crops of one photograph, follow each other like links of a chain. So a large scene is walked from
one end to the other, always on to all neighbours (breadth first), and cut where the walk tears the fewest pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_SHARE = 3
"""Each piece of a scene that is cut in two has at least 1 in 3 of its pictures."""


def scenes(pairs: Tensor, count: int) -> Tensor:
    """The number of the scene (count,) of each picture, given the ``pairs`` (m, 2) of pictures that show the same.

    Where a first picture shows what a second does, and that what a third does, all three are one scene.
    """
    return pieces(pairs, count, count)


def pieces(pairs: Tensor, count: int, most: int) -> Tensor:
    """The number of the piece (count,) of each picture: a scene, or what it was cut into to have ``most`` at most."""
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for one, other in torch.unique(torch.cat([pairs, pairs.flip(1)]), dim=0).tolist():
        neighbours[one].append(other)
    found, number = torch.empty(count, dtype=torch.long), 0
    left, waiting = set(range(count)), []
    for start in range(count):
        if start in left:
            waiting.append(set(_walk(neighbours, left, start)))
            left -= waiting[-1]
    waiting.reverse()
    while waiting:
        part = waiting.pop()
        order = _walk(neighbours, part, _walk(neighbours, part, min(part))[-1])
        if len(order) < len(part):  # what was cut may not hang together
            waiting += [part.difference(order), set(order)]
        elif len(order) > most:
            at = _weakest(neighbours, order)
            waiting += [set(order[:at]), set(order[at:])]
        else:
            found[order] = number
            number += 1
    return found


def _walk(neighbours: list[list[int]], part: set[int], start: int) -> list[int]:
    """The pictures of a part that can be reached from one of them, the nearest first."""
    order, seen = [start], {start}
    for each in order:
        further = [other for other in neighbours[each] if other in part and other not in seen]
        order += further
        seen.update(further)
    return order


def _weakest(neighbours: list[list[int]], order: list[int]) -> int:
    """The place of a walk at which a cut tears the fewest pairs."""
    place = {each: at for at, each in enumerate(order)}
    torn, so_far = [], 0
    for at, each in enumerate(order):
        so_far += sum(1 if place[other] > at else -1 for other in neighbours[each] if other in place)
        torn.append(so_far)  # by a cut behind this picture
    least = max(1, len(order) // _LEAST_SHARE)
    return min(range(least, len(order) - least + 1), key=lambda at: torn[at - 1])
