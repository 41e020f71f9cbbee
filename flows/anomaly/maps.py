"""Where a picture is strange: its log-density pixel by pixel, compared with held-out pictures at several scales.

A pixel's deviation is its log-density less what is usual. Where a recipe says so, half of what a lossless code needs
for the pixel is first taken off its surprise. Deviations are averaged over Gaussian windows of several sizes. How rare
an average is, is read from the places of held-out pictures, window by window; a place's score is the rarest of its
windows. A picture's p-value is the rank of its highest score among the highest scores of held-out pictures that nothing
else was read from, so that it is a conformal p-value (Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random
world", section 2.2). It holds for all places and windows together: no further correction is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.curves import KNOTS, interpolated, log_shares, quantiles
from flows.anomaly.nonconformity import MINIMUM_ITEMS

WINDOWS = 3
"""Number of Gaussian windows, their widths in equal ratios."""
_NARROWEST = 0.6
"""Standard deviation in pixels of the narrowest window: little more than a pixel."""
_WIDEST = 1 / 12
"""Standard deviation of the widest window as a share of the shorter side: it averages over about a quarter of it.

On digits a window three times as wide found no more pictures, and told places less sharply.
"""
_CODE = 0.5
"""The share of the code's nats that a relative map takes off. With all of them, edges would count as strange."""
_HUGE = 1e6
"""Nats. A deviation beyond counts as this one, so that an average stays finite."""


class Recipe(NamedTuple):
    """What counts as strange.

    >>> flows.anomaly.Recipe(aligned=False, absolute=True, relative=False) in flows.anomaly.RECIPES
    True
    """

    aligned: bool
    """Whether each place is compared with the same place of other pictures, or with all places."""
    absolute: bool
    """Whether too likely a place, such as a blurred one, is as strange as too unlikely a one."""
    relative: bool
    """Whether a place that is hard to code may be less likely. Then a rich texture hides a plain fault less.

    Serra et al. 2020, "Input complexity and out-of-distribution detection with likelihood-based generative models",
    do this with whole pictures.
    """


RECIPES = tuple(Recipe(*chosen) for chosen in product((False, True), repeat=3))
"""All of them. Which one finds more depends on the pictures."""


class AnomalyMap(NamedTuple):
    """How strange B pictures are, place by place.

    >>> generator = torch.Generator().manual_seed(0)
    >>> pixels = torch.randn(100, 2, 8, 8, generator=generator)
    >>> calibration = flows.anomaly.MapCalibration.of(flows.anomaly.RECIPES[0], pixels[:50], pixels[50:])
    >>> found = calibration.judge(pixels[:3])
    >>> found.rarity.shape, found.p_value.dtype
    (torch.Size([3, 8, 8]), torch.float64)
    """

    rarity: Tensor
    """(B, H, W) float32: -log10 of the share of places of held-out pictures that are as strange; never negative.

    2 means 1 place in 100. Beyond what the held-out pictures reach, the curve goes on in a straight line.
    """
    p_value: Tensor
    """(B, H, W) float64: the share of ordinary pictures that are as strange at any place.

    The least of a picture is the p-value of the picture. Of ordinary pictures, a share of at most alpha has any place
    where it is at most alpha.
    """


class MapCalibration:
    """What is usual in the places of pictures (H, W), and the highest scores of n held-out pictures.

    It reads pixels (B, 2, H, W), both in nats: their log-densities, and what a lossless code needs for each.
    ``anomaly.pixel_nats`` gives them.

    ``mean`` is in nats a pixel: (H, W), or (1, 1) where places do not matter. ``tails`` (S, Q) are averages, and
    ``tail`` (Q,) scores, that ever smaller shares of held-out places exceed. ``maxima`` (n,) are the highest scores.
    Raises ValueError for tensors that do not fit.

    >>> generator = torch.Generator().manual_seed(0)
    >>> pixels = torch.randn(200, 2, 12, 12, generator=generator)
    >>> recipe = flows.anomaly.Recipe(aligned=False, absolute=False, relative=False)
    >>> calibration = flows.anomaly.MapCalibration.of(recipe, pixels[:80], pixels[80:])
    >>> calibration
    MapCalibration(12x12, Recipe(aligned=False, absolute=False, relative=False), held_out=120)
    >>> spot = torch.randn(1, 2, 12, 12, generator=generator)
    >>> spot[0, 0, 2:5, 3:6] -= 9
    >>> found = calibration.judge(spot)
    >>> bool(found.p_value.amin() == 1 / 121), bool(found.rarity[0, 3, 4] > 4), bool(found.rarity[0, 10, 10] < 4)
    (True, True, True)
    """

    def __init__(
        self, sides: Sequence[int], recipe: Recipe, mean: Tensor, tails: Tensor, tail: Tensor, maxima: Tensor
    ) -> None:
        self.sides = height, width = int(sides[0]), int(sides[1])
        widths = window_widths(height, width)
        self._stored = {"mean": mean, "tails": tails, "tail": tail, "maxima": maxima}
        _check(self._stored, self.sides, len(widths))
        if recipe.aligned != (mean.numel() > 1):
            raise ValueError(f"the mean of a map has shape {tuple(mean.shape)}, which does not fit its recipe")
        self.recipe = recipe
        # In float64: averages of float32 would differ between machines by more than neighbouring maxima do.
        self._mean, self._tails, self._tail = mean.double(), tails.double().contiguous(), tail.double()
        self._maxima = maxima.double().sort().values
        self._logs = log_shares(mean.device)
        self._down = torch.stack([_window(height, each) for each in widths]).to(mean.device)
        self._across = torch.stack([_window(width, each).T for each in widths]).to(mean.device)

    @classmethod
    def of(cls, recipe: Recipe, fit: Tensor, held_out: Tensor) -> MapCalibration:
        """From pixels (N, 2, H, W) of pictures that tell what is usual, and of others (n, 2, H, W) for the p-values.

        Raises ValueError for fewer pictures than a p-value of 0.05 needs, and for numbers that are not finite.
        """
        for part in (fit, held_out):
            if part.ndim != 4 or len(part) < MINIMUM_ITEMS or not bool(part.isfinite().all()):
                raise ValueError(
                    f"a map needs two sets of at least {MINIMUM_ITEMS} pictures of finite numbers, "
                    f"got {tuple(part.shape)}"
                )
        sides, values = fit.shape[2:], _values(recipe, fit)
        mean = (values.mean(dim=0) if recipe.aligned else values.mean().reshape(1, 1)).float()
        tail = torch.linspace(0, 1, KNOTS, device=fit.device)
        tails, nothing = tail.expand(len(window_widths(*sides)), -1), tail.new_zeros(MINIMUM_ITEMS)
        # Each step reads what the steps before it stored, rounded as it is stored.
        averages = cls(sides, recipe, mean, tails, tail, nothing)._averages(fit)
        tails = torch.stack([quantiles(averages[:, window]) for window in range(averages.shape[1])])
        tail = quantiles(cls(sides, recipe, mean, tails, tail, nothing)._scores(fit))
        maxima = cls(sides, recipe, mean, tails, tail, nothing)._scores(held_out).flatten(1).amax(dim=1)
        return cls(sides, recipe, mean, tails, tail, maxima.sort().values)

    @classmethod
    def from_tensors(cls, item_shape: Sequence[int], recipe: Recipe, tensors: Mapping[str, Tensor]) -> MapCalibration:
        """From what ``tensors`` gave. Raises ValueError, and KeyError for a missing tensor."""
        return cls(item_shape[:2], recipe, *(tensors[name] for name in ("mean", "tails", "tail", "maxima")))

    def tensors(self) -> dict[str, Tensor]:
        """What a store keeps: ``mean``, ``tails``, ``tail`` and ``maxima``, float32."""
        return dict(self._stored)

    @property
    def size(self) -> int:
        """n, the number of held-out pictures behind the p-values. None is below 1 / (n + 1)."""
        return len(self._maxima)

    def judge(self, pixels: Tensor) -> AnomalyMap:
        """Maps of pictures, from their pixels (B, 2, H, W).

        Looks at no value. A place that is not finite is among the strangest.
        """
        scores = self._scores(pixels)
        less = torch.searchsorted(self._maxima, scores.double())
        rarity = interpolated(self._tail, self._logs, scores.double()).float()
        return AnomalyMap(rarity, (1 + self.size - less).double() / (self.size + 1))

    def _averages(self, pixels: Tensor) -> Tensor:
        """Deviations averaged over each window, (B, S, H, W) float64; the larger, the stranger."""
        deviation = (self._mean - _values(self.recipe, pixels)).nan_to_num(nan=_HUGE, posinf=_HUGE, neginf=-_HUGE)
        averages: Tensor = self._down @ deviation.clamp(-_HUGE, _HUGE)[:, None] @ self._across
        return averages.abs() if self.recipe.absolute else averages

    def _scores(self, pixels: Tensor) -> Tensor:
        """-log10 of the share of held-out places that are as far out in the same window, (B, H, W): of the rarest."""
        averages = self._averages(pixels)
        found = [
            interpolated(self._tails[window], self._logs, averages[:, window]) for window in range(len(self._tails))
        ]
        return torch.stack(found).amax(dim=0).float()

    def __repr__(self) -> str:
        height, width = self.sides
        return f"MapCalibration({height}x{width}, {self.recipe}, held_out={self.size})"


def _values(recipe: Recipe, pixels: Tensor) -> Tensor:
    """What is compared (B, H, W), float64, of pixels (B, 2, H, W): the less, the stranger."""
    nats, code = pixels.double().unbind(dim=1)
    return nats + _CODE * code if recipe.relative else nats


def window_widths(height: int, width: int) -> tuple[float, ...]:
    """Standard deviations in pixels of the Gaussian windows for pictures of this size, the narrowest first."""
    ratio = max(min(height, width) * _WIDEST / _NARROWEST, 1.0) ** (1 / (WINDOWS - 1))
    return tuple(_NARROWEST * ratio**step for step in range(WINDOWS)) if ratio > 1 else (_NARROWEST,)


def _window(side: int, deviation: float) -> Tensor:
    """(side, side) float64: row i averages around place i. At a border the weights that are left sum to one."""
    places = torch.arange(side, dtype=torch.float64)
    weights = (-0.5 * ((places[:, None] - places) / deviation).square()).exp()
    return weights / weights.sum(dim=1, keepdim=True)


def _check(tensors: Mapping[str, Tensor], sides: tuple[int, int], windows: int) -> None:
    """Raise ValueError unless the tensors of a calibration fit together."""
    if tuple(tensors["mean"].shape) not in (sides, (1, 1)):
        raise ValueError(f"the mean of a map has shape {tuple(tensors['mean'].shape)}, not {sides} or (1, 1)")
    for name, shape in {"tails": (windows, KNOTS), "tail": (KNOTS,)}.items():
        if tuple(tensors[name].shape) != shape:
            raise ValueError(f"the {name} of a map has shape {tuple(tensors[name].shape)}, not {shape}")
        if not bool((tensors[name].diff() > 0).all()):
            raise ValueError(f"the {name} of a map must rise")
    if tensors["maxima"].ndim != 1 or len(tensors["maxima"]) < MINIMUM_ITEMS:
        raise ValueError(f"a map needs the highest scores of at least {MINIMUM_ITEMS} pictures")
