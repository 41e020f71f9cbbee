"""Whether pictures show the same thing at the same place, found out from how well one half tells of the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flows.anomaly.places import Usual, blurred

_WIDTH = 2.0
"""Standard deviation in pixels of the window that deviations are averaged over: single pixels are mostly noise."""
_BETTER = 0.97
"""The spread that is left must be smaller by this factor: a mean for each place is itself uncertain."""


def aligned(pixels: Sequence[Tensor], folds: Tensor) -> bool:
    """Whether a mean of each place leaves less spread than one that only knows the kind of place.

    ``pixels`` (n) are log-densities (H, W) of pictures of one size, ``folds`` (n,) which flow gave them. What is usual
    is read from one half of a fold and measured in the other.
    """
    left = {True: 0.0, False: 0.0}
    for fold in sorted(set(folds.tolist())):
        own = [pixels[index] for index in (folds == fold).nonzero().flatten().tolist()]
        for known, others in ((own[0::2], own[1::2]), (own[1::2], own[0::2])):
            for by_place in left:
                usual = Usual.of(known, (_WIDTH,), aligned=by_place)
                spread = [blurred(each - usual.mean_at(*each.shape), _WIDTH).square().mean() for each in others]
                left[by_place] += float(torch.stack(spread).sum())
    return left[True] < _BETTER * left[False]
