"""How much of a budget of time is kept for what comes after the training: calibration, the card, publishing."""

from __future__ import annotations

import math
from time import perf_counter

import torch
from torch import Tensor

import flows
from flows.anomaly.judges import Judge
from flows.anomaly.pictures import read
from flows.anomaly.places import widths_for
from flows.architectures.lattice_flow import LatticeFlow
from flows.tiles import LEAST_SIDE, TILE, TiledDensity
from trainer.errors import DataError
from trainer.pictures.plan import FOLDS, PicturePlan
from trainer.presets import Preset

_AFTERWARDS = 0.1
"""The share of a budget that is kept at least."""
_MOST = 0.5
"""The share that is kept at most: with more hardly anything would be learnt."""
_READING = 0.1
"""The share from which on it is told that reading took time."""
_SPARE = 1.2
"""The time that is kept over the time that was measured: other work on the machine may take some later."""
_JUDGED = 4
"""Readings that a judge is made of to see how long that takes."""
_MAPS = 4
"""Pictures on the card, which are read under every flow."""


def needed_seconds(plan: PicturePlan, preset: Preset, device: torch.device, *, publishing: bool) -> float:
    """The seconds that calibration and the maps of the card will take, from readings of one picture.

    The picture has the median size, or that of a tile where it is larger. Its content and the weights of the flow are
    random: the time does not depend on them.
    """
    with torch.random.fork_rng():
        flow = flows.build(preset.architecture, plan.item_shape, preset.arguments).to(device)
    assert isinstance(flow, LatticeFlow)
    density = TiledDensity(flow.eval().requires_grad_(False))
    width, height = sorted(plan.sizes, key=math.prod)[len(plan.sizes) // 2]
    sides, colours = (min(height, TILE), min(width, TILE)), plan.item_shape[2:]
    _, found = _seconds(density, (LEAST_SIDE, 2 * LEAST_SIDE, *colours))
    _judging(found, math.prod(colours))  # the first one takes longer than others
    (first, _), (second, _), (third, found) = (_seconds(density, (*sides, *colours)) for _ in range(3))
    # The first reading of each size under each flow makes the masks of its tiles.
    again = min(second, third)
    each = again + max(first - again, 0.0) * min(1.0, len(set(plan.sizes)) * FOLDS / len(plan.sizes))
    pixels = sum(density.tile_pixels(height, width) for width, height in plan.sizes)
    pixels += publishing * _MAPS * FOLDS * pixels // len(plan.sizes)
    return _SPARE * (each + _judging(found, math.prod(colours))) * pixels / density.tile_pixels(*sides)


def _seconds(density: TiledDensity, shape: tuple[int, ...]) -> tuple[float, Tensor]:
    """How long the reading of a random picture takes, and the readings."""
    picture = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    began = perf_counter()
    found = read(density, picture).cpu()
    return perf_counter() - began, found


def _judging(found: Tensor, colours: int) -> float:
    """The seconds a picture takes to be in a judge, and to be judged by another, given its readings.

    The last ``colours`` of these are the colours.
    """
    began = perf_counter()
    judge = Judge.of(0, [found] * _JUDGED, widths_for(min(found.shape[1:])), colours=colours, aligned=False)
    for _ in range(_JUDGED):
        judge.places(found)
    return (perf_counter() - began) / _JUDGED


def kept_seconds(plan: PicturePlan, needed: float, *, spent: float = 0.0, trained: bool = False) -> float:
    """The seconds of the plan's budget that are kept for calibration: a tenth, or the ``needed`` if these are more.

    ``spent`` are seconds that reading took. Raises DataError where less than half of the budget would be left for the
    training, unless a flow is ``trained`` already: on a busier machine what was trained must not be refused.
    """
    assert plan.minutes is not None
    budget = 60 * plan.minutes
    if spent + needed > _MOST * budget and not trained:
        enough = math.ceil((spent + needed) / _MOST / 6) / 10
        reading = f"reading took {spent:.0f} s, and " if spent > _READING * budget else ""
        raise DataError(
            f"--minutes {plan.minutes:g}: {reading}the calibration by {len(plan.sizes):,} pictures takes about "
            f"{needed:.0f} s here, and less than half of the time would be left for training; give "
            f"--minutes {enough:g} or more, or a smaller --size (now {plan.preparation.longest})"
        )
    return max(_AFTERWARDS * budget, needed)


def told_of_kept(plan: PicturePlan, kept: float) -> list[str]:
    """That more than usual is kept, for people; nothing where it is not."""
    assert plan.minutes is not None
    if kept <= _AFTERWARDS * 60 * plan.minutes:
        return []
    return [
        f"the calibration by {len(plan.sizes):,} pictures takes about {kept:.0f} s of the time "
        f"({kept / (60 * plan.minutes):.0%}); the rest is for training"
    ]
