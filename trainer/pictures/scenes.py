"""Which pictures show the same scene: frames of one film, crops of one photograph, a picture saved twice.

p-values are for new pictures that resemble those that calibrate as these resemble each other. Where pictures show the
same scenes, that is a new picture of these scenes. One of another scene is further from all, and alarms more often,
unless the pictures of a scene stay together (``trainer/pictures/dealing.py``).

Scenes are found by phase correlation (Kuglin & Hines 1975, "The phase correlation image alignment method"): the Fourier
transforms of two pictures, of which only the phases are kept, are multiplied, and where one picture is the other one
shifted, the transform of the product has a peak. A frequency counts by the share of its power, over all pictures, that
stands out of noise, so that the noise of a camera in a smooth picture does not hide its scene. A pattern that repeats
itself, such as a weave, has several peaks: what counts is how much the highest stands out of the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_LEAST = 0.2
"""Two pictures whose peak stands out of the next by less show different scenes. A picture and itself have nearly 1."""
_PEAK = 3
"""Pixels around a peak that belong to it."""
_LEAST_TIMES = 3.0
"""And so do two whose peak is lower than so many usual ones: aligned parts, and few pixels, have high ones."""
_USUAL = 0.2
"""The share of the pairs whose peak is lower than what is called usual: small, as many pairs may show one scene."""
_NOISE = 0.1
"""The share of the frequencies whose power is taken for noise."""
_LOOKED = 64
"""Pixels of the longest side of all pictures, at which they are compared."""
_MOST_PAIRS = 200_000
"""With more, each picture is compared with those that follow it in the order of names: frames of a film do."""


def alike(pictures: Sequence[Tensor]) -> Tensor:
    """The pairs (m, 2) of the uint8 pictures (H, W[, C]) that show the same scene, the lower index first."""
    n, transforms = len(pictures), _transforms(pictures)
    reach = min(n - 1, max(1, _MOST_PAIRS // n))
    peaks = [_peaks(transforms[first], transforms[first + 1 : first + 1 + reach]) for first in range(n - 1)]
    if not peaks:
        return torch.empty(0, 2, dtype=torch.long)
    least = _LEAST_TIMES * float(torch.cat([peak for peak, _ in peaks]).quantile(_USUAL))
    found = []
    for first, (peak, standing_out) in enumerate(peaks):
        others = first + 1 + ((peak >= least) & (standing_out >= _LEAST)).nonzero().flatten()
        found.append(torch.stack([torch.full_like(others, first), others], dim=1))
    return torch.cat(found)


def _peaks(one: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The highest peaks (m,) of a picture with m others, and by how much each stands out of the next one."""
    found = torch.fft.irfft2(one.conj() * others)
    (height, width), (peak, at) = found.shape[1:], found.flatten(1).max(dim=1)
    near = [_around(place, side) for place, side in ((at // width, height), (at % width, width))]
    beyond = found.masked_fill(near[0][:, :, None] & near[1][:, None, :], 0.0)
    return peak, peak - beyond.flatten(1).amax(dim=1)


def _around(places: Tensor, side: int) -> Tensor:
    """Whether each place (m, side) of a circle is near those (m,) of the peaks."""
    apart = (torch.arange(side) - places[:, None]).abs()
    return torch.minimum(apart, side - apart) <= _PEAK


def _transforms(pictures: Sequence[Tensor]) -> Tensor:
    """Fourier transforms (n, H, W // 2 + 1) of small pictures that fade to their borders: weighted phases of size 1."""
    share = min(1.0, _LOOKED / max(max(each.shape[:2]) for each in pictures))
    grey = [_small(each, share) for each in pictures]
    height, width = (2 * ((max(each.shape[axis] for each in grey) + 1) // 2) for axis in (0, 1))
    canvas = torch.zeros(len(grey), height, width)
    for place, each in zip(canvas, grey, strict=True):
        down, across = (torch.hann_window(side + 2, periodic=False)[1:-1].sqrt() for side in each.shape)
        place[: each.shape[0], : each.shape[1]] = (each - each.mean()) * down[:, None] * across
    found = torch.fft.rfft2(canvas)
    size = found.abs()
    power = (size**2 / (size**2).mean(dim=(1, 2), keepdim=True).clamp(min=1e-9)).mean(dim=0)
    beside_noise = ((power - power.quantile(_NOISE)) / power.clamp(min=1e-9)).clamp(min=0).sqrt()
    phases = found / size.clamp(min=1e-9) * beside_noise
    whole = torch.fft.irfft2(phases).square().sum(dim=(1, 2), keepdim=True).sqrt()
    weighted: Tensor = phases / whole.clamp(min=1e-9)
    return weighted


def _small(picture: Tensor, share: float) -> Tensor:
    """A picture in grey, scaled by a share that is the same for all."""
    grey = picture.float().reshape(*picture.shape[:2], -1).mean(dim=2)
    size = [max(1, round(side * share)) for side in grey.shape]
    return grey if share == 1 else functional.interpolate(grey[None, None], size=size, mode="area")[0, 0]
