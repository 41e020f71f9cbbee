"""Whether pictures show the same thing at the same place, found out from how well one half tells of the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.anomaly.places import Usual, blurred

_WIDTH = 2.0
"""Standard deviation in pixels of the window that deviations are averaged over: single pixels are mostly noise."""
_BETTER = 0.97
"""The spread that is left must be smaller by this factor: a mean for each place is itself uncertain."""
_LOOKED = 64
"""Pixels of the longer side at which pictures are compared before any training."""
_NARROWEST = 3
"""Pixels of the shorter side there at least: a pixel with a neighbour on each side."""
_AWAY = 4
"""Pixels, at that size, between a pixel and those that it is told from: about what the coarsest lattice knows."""
_GAIN = 0.03
"""Bits per pixel that the place must be worth. Of surfaces it was worth -0.01 to 0.00."""
_ERRORS = 2.0


def gain_of_place(pictures: Sequence[Tensor], thirds: Tensor) -> tuple[float, float]:
    """How many bits per pixel the mean of other pictures tells of a picture, and the standard error, by pictures.

    Of uint8 pictures (H, W[, C]) of one size. A pixel is told from its eight neighbours some pixels away by a linear
    rule, with and without what the mean of other pictures shows there. The mean is of one third of the pictures, the
    rule is fitted to the second, and the gain is measured on the last, in Gaussian likelihood. ``thirds`` (n,) is 0, 1
    or 2: pictures of one scene must be in the same, since they show the same at each place whatever others show.
    """
    small = torch.stack([_small(each) for each in pictures])
    gains = []
    for turn in range(3):
        known, fit, test = (small[thirds == (turn + k) % 3] for k in range(3))
        template = known.mean(dim=0, keepdim=True)
        left = []
        for columns in (slice(0, 9), slice(0, None)):
            rows, target = _told_from(fit, template)
            rows = rows[..., columns].flatten(0, 2)
            gram = rows.T @ rows + 1e-6 * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype)
            rule = torch.linalg.solve(gram, rows.T @ target.flatten())
            rows, target = _told_from(test, template)
            left.append((target - rows[..., columns] @ rule).square().mean(dim=(1, 2)))
        gains.append(0.5 * (left[0] / left[1]).log2())
    each = torch.cat(gains)
    return float(each.mean()), float(each.std() / len(each) ** 0.5)


def place_matters(pictures: Sequence[Tensor], thirds: Tensor) -> bool:
    """Whether pictures of one size show the same thing at the same place, so that nets should know the place.

    ``thirds`` as for ``gain_of_place``.
    """
    gain, error = gain_of_place(pictures, thirds)
    return gain > _GAIN and gain > _ERRORS * error


def _small(picture: Tensor) -> Tensor:
    """A picture in grey at a small size, float64 in [0, 1]."""
    grey = picture.double().reshape(*picture.shape[:2], -1).mean(dim=2) / 255
    share = min(1.0, _LOOKED / max(grey.shape))
    size = [max(_NARROWEST, round(side * share)) for side in grey.shape]
    return functional.interpolate(grey[None, None], size=size, mode="area")[0, 0]


def _told_from(pictures: Tensor, template: Tensor) -> tuple[Tensor, Tensor]:
    """What each inner pixel is told from (N, h, w, 9 + 9), a constant first, and the pixels (N, h, w) themselves."""
    away = min(_AWAY, (min(pictures.shape[1:]) - 1) // 2)
    steps = [(down, across) for down in (0, away, 2 * away) for across in (0, away, 2 * away)]
    height, width = (side - 2 * away for side in pictures.shape[1:])

    def around(planes: Tensor) -> list[Tensor]:
        return [planes[:, down : down + height, across : across + width] for down, across in steps]

    own, usual = around(pictures), around(template.expand_as(pictures))
    target = own.pop(4)
    return torch.stack([torch.ones_like(target), *own, *usual], dim=3), target


def aligned(pixels: Sequence[Tensor], folds: Tensor, halves: Tensor) -> bool:
    """Whether a mean of each place leaves less spread than one that only knows the kind of place.

    ``pixels`` (n) are log-densities (H, W) of pictures of one size, ``folds`` (n,) which flow gave them. What is usual
    is read from one of the ``halves`` (n,) of a fold and measured in the other.
    """
    left = {True: 0.0, False: 0.0}
    for fold in sorted(set(folds.tolist())):
        parts = [[pixels[index] for index in ((folds == fold) & (halves == half)).nonzero()] for half in (0, 1)]
        for known, others in (parts, parts[::-1]):
            for by_place in left:
                usual = Usual.of(known, (_WIDTH,), aligned=by_place)
                spread = [blurred(each - usual.mean_at(*each.shape), _WIDTH).square().mean() for each in others]
                left[by_place] += float(torch.stack(spread).sum())
    return left[True] < _BETTER * left[False]
