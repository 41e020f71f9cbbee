"""From the trained flows to a published model: round, calibrate, describe, publish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from flows import bits_per_dim
from flows.anomaly import PictureCalibration
from flows.anomaly.pictures import read
from flows.tiles import TiledDensity
from model_store import (
    CalibrationEvidence,
    PicturesNote,
    Publication,
    Published,
    Report,
    Store,
    half_dtype,
    publish,
    round_weights,
)
from trainer.data.names import readable
from trainer.pictures.alignment import aligned
from trainer.pictures.crops import cut
from trainer.pictures.dealing import Dealt
from trainer.pictures.folds import template_of_fold
from trainer.pictures.plan import FOLDS, PicturePlan
from trainer.pictures.training import TrainedFlow
from trainer.presets import Preset
from trainer.report import picture_card, pictures
from trainer.report.evaluation import Quality

_GOLDEN = 4
"""Crops of the self-test at every load."""
_DRAWN = 4
"""Samples along a side of the sheet: a crop takes a hundred times as long to draw as a digit."""
_SHOWN = 4
"""Calibrating pictures on the card, with their maps: the strangest."""


def calibrated(
    plan: PicturePlan,
    flows: Sequence[TrainedFlow],
    items: Sequence[Tensor],
    parts: Dealt,
    seed: int,
    say: Callable[[str], None],
    pause: Callable[[], None] = lambda: None,
) -> tuple[PictureCalibration, list[Tensor]]:
    """The calibration by all pictures, each under the flow that was trained without it, and their readings.

    ``pause`` is called after each picture, and may raise.
    """
    folds = parts.folds
    densities = [
        TiledDensity(each.flow, template=template_of_fold(plan, items, parts, fold, seed))
        for fold, each in enumerate(flows)
    ]
    say(f"calibration: scoring {len(items):,} pictures, each by the flow that does not know it")
    found = []
    with torch.no_grad():
        for item, fold in zip(items, folds.tolist(), strict=True):
            found.append(read(densities[fold], item).cpu())
            pause()
    pixels = [each[0] for each in found]
    # Of aligned parts the log-density may have lost what a place shows to the template; the other readings have not.
    chosen = plan.place or (plan.same_size and aligned(pixels, folds, parts.halves))
    say("maps: each place is compared with " + ("the same place of other pictures" if chosen else "places of any kind"))
    return PictureCalibration.of_readings(densities, found, folds, halves=parts.halves, aligned=chosen), found


def published(
    plan: PicturePlan,
    preset: Preset,
    flows: Sequence[TrainedFlow],
    items: Sequence[Tensor],
    parts: Dealt,
    *,
    store: Path | Store | None,
    name: str,
    seed: int,
    provenance: dict[str, str | int | float],
    say: Callable[[str], None],
    pause: Callable[[], None] = lambda: None,
) -> tuple[Quality, Published | None]:
    """Calibrate and, given a store, publish there under that name. Raises StoreError where the store refuses."""
    dtype = half_dtype([each.flow for each in flows])
    for each in flows:
        round_weights(each.flow, dtype)
    calibration, found = calibrated(plan, flows, items, parts, seed, say, pause)
    quality = _quality([each[0] for each in found], items)
    if store is None:
        return quality, None
    main = flows[0].flow
    say("drawing samples and maps for the card")
    drawn = {
        "loss.png": pictures.curve(flows[0].history, flows[0].best, flows[0].initial, of="look"),
        "samples.png": pictures.samples(main, seed, side=_DRAWN),
        "maps.png": picture_card.maps(calibration, *_strangest(calibration, items)),
    }
    evidence = CalibrationEvidence(
        calibration=calibration,
        source=f"all {len(items):,} pictures of {readable(plan.found.folder.resolve().name)} in {FOLDS} folds, each "
        "under a flow that was trained without it",
    )
    longest = _longest_of(plan, calibration)
    publication = Publication(
        flow=main,
        architecture=preset.architecture,
        arguments=preset.arguments,
        golden_items=cut([items[index] for index in (parts.folds == 0).nonzero()], plan.crop, _GOLDEN, seed),
        weights_dtype=dtype,
        provenance=provenance,
        report=Report(
            quality={"held out": quality.figures()},
            card=picture_card.write(plan, preset, flows, quality, calibration, name, provenance, longest, dtype),
            pictures=drawn,
        ),
        calibration=evidence,
        pictures=PicturesNote(
            longest=longest,
            bits=plan.preparation.bits,
            shortest_side=min(min(size) for size in plan.sizes),
            longest_side=max(max(size) for size in plan.sizes),
            reductions=plan.reductions,
        ),
    )
    return quality, publish(store, name, publication)


def _longest_of(plan: PicturePlan, calibration: PictureCalibration) -> int:
    """The longer side at which the model looks at new pictures, at most.

    What a surface shows keeps its scale in pictures that are larger than those trained on: scaled down to their size it
    would be another surface. Aligned pictures are brought to their one size.
    """
    return plan.preparation.longest if calibration.aligned else plan.size


def _quality(pixels: Sequence[Tensor], items: Sequence[Tensor]) -> Quality:
    """Of all pictures, each under the flow that does not know it. Bits per dimension are of all pixels together."""
    nats = torch.stack([each.double().sum() for each in pixels])
    entries = sum(item.numel() for item in items)
    return Quality(
        count=len(items),
        log_likelihood=float(nats.mean()),
        standard_error=float(nats.std() / len(nats) ** 0.5),
        bits_per_dim=float(bits_per_dim(float(nats.sum()), entries)),
    )


def _strangest(calibration: PictureCalibration, items: Sequence[Tensor]) -> tuple[list[Tensor], list[float]]:
    """The calibrating pictures with the highest scores of places, and these scores."""
    order = calibration.maxima.argsort(descending=True)[:_SHOWN].tolist()
    return [items[index] for index in order], [float(calibration.maxima[index]) for index in order]
