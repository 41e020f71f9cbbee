"""The calibration of maps that is published with a model of pictures, and the choice of what counts as strange."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from flows import Flow, anomaly
from flows.anomaly import MapCalibration
from model_store import MapEvidence
from trainer.report.detection import detection

_FIT_SHARE, _FIT_MOST = 1 / 3, 1000
"""Pictures that tell what is usual: every one has hundreds of places. The others give the p-values."""
_TRIED = 64
"""Pictures that faults are put into, to choose a recipe."""
_BATCH = 250
_SEED = 23


def map_evidence(flow: Flow, held_out: Tensor, source: str) -> MapEvidence | None:
    """Calibrate maps on held-out pictures (N, *item_shape), as a user sends them. ``flow`` is the one that answers.

    The recipe is the one whose map tells faults best, in pictures that are not among those behind the p-values. None
    for vectors, and when there are too few pictures.
    """
    fit = min(int(len(held_out) * _FIT_SHARE), _FIT_MOST)
    if not flow.is_image or fit < anomaly.MINIMUM_ITEMS:
        return None
    usual, others = (_pixels(flow, part) for part in (held_out[:fit], held_out[fit:]))
    faulty = [(_pixels(flow, items), mask) for items, mask in _faults(held_out[: min(fit, _TRIED)])]
    tried: dict[anomaly.Recipe, float] = {}
    for recipe in anomaly.RECIPES:
        # The p-values play no part in the choice, so the pictures that fit may stand in for the others.
        draft = MapCalibration.of(recipe, usual, usual)
        found = [(draft.judge(pixels).rarity, mask) for pixels, mask in faulty]
        tried[recipe] = sum(detection(rarity[~mask], rarity[mask]).auroc for rarity, mask in found) / len(found)
    best = max(tried, key=lambda recipe: tried[recipe])
    return MapEvidence(
        calibration=MapCalibration.of(best, usual, others),
        source=source,
        fit=fit,
        detection={_named(recipe): auroc for recipe, auroc in tried.items()},
    )


@torch.no_grad()
def _pixels(flow: Flow, items: Tensor) -> Tensor:
    """What maps read of items (N, *item_shape): (N, 2, H, W), at seed 0."""
    parts = torch.split(items, _BATCH)
    return torch.cat([anomaly.pixel_nats(flow, flow.to_continuous(part)).cpu() for part in parts])


def _named(recipe: anomaly.Recipe) -> str:
    return ", ".join(f"{name} {'yes' if chosen else 'no'}" for name, chosen in recipe._asdict().items())


def _faults(items: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Copies of pictures with a square of an eighth to a third of the shorter side, and the masks of changed pixels.

    The square is filled with one grey level, with its own mean, with the same place of the next picture, or blurred.
    """
    generator = torch.Generator().manual_seed(_SEED)
    side = min(items.shape[1:3])
    found = []
    for fill in (_grey, _own_mean, _next_picture, _blurred):
        copies = items.clone()
        for index in range(len(items)):
            length = int(torch.randint(max(side // 8, 1), max(side // 3, 2), (1,), generator=generator))
            row, column = (
                int(torch.randint(0, extent - length + 1, (1,), generator=generator)) for extent in items.shape[1:3]
            )
            place = slice(row, row + length), slice(column, column + length)
            copies[index][place] = fill(items, index, place, generator)
        changed = (copies != items).reshape(*items.shape[:3], -1).any(dim=3)
        if bool(changed.any()):
            found.append((copies, changed))
    return found


def _grey(items: Tensor, _: int, __: tuple[slice, slice], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, items.shape[3:], generator=generator, dtype=torch.uint8)


def _own_mean(items: Tensor, index: int, place: tuple[slice, slice], _: torch.Generator) -> Tensor:
    return items[index][place].float().mean(dim=(0, 1)).to(torch.uint8)


def _next_picture(items: Tensor, index: int, place: tuple[slice, slice], _: torch.Generator) -> Tensor:
    return items[(index + 1) % len(items)][place]


def _blurred(items: Tensor, index: int, place: tuple[slice, slice], _: torch.Generator) -> Tensor:
    square = items[index][place].float()
    planes = square.reshape(*square.shape[:2], -1).movedim(2, 0)[None]
    smooth = functional.avg_pool2d(functional.pad(planes, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return smooth[0].movedim(0, 2).reshape(square.shape).to(torch.uint8)
