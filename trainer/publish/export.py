"""From a finished run to a published model: round, evaluate what will be stored, calibrate, draw, publish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration
from model_store import (
    CalibrationEvidence,
    Publication,
    Published,
    Report,
    Store,
    half_dtype,
    measure_bfloat16,
    publish,
    published_before,
    round_weights,
    serving,
)
from model_store.manifest import Dtype
from trainer.data import OwnData
from trainer.publish.calibration import calibration_evidence, source_of
from trainer.publish.initial_draws import initial_draws
from trainer.publish.map_calibration import map_evidence
from trainer.publish.row_calibration import row_calibration
from trainer.report import card, pictures, verdict_pictures
from trainer.report.evaluation import Latents, Quality
from trainer.report.own_samples import OwnSamples
from trainer.run.finished import FinishedRun
from trainer.run.initial_state import arguments_for
from trainer.run.likelihoods import log_likelihoods

GOLDEN_ITEMS = 8
LATENT_ITEMS = 2000
SAMPLES = 500
"""Own samples that are compared with the test items."""
PRECISION_ITEMS = 2000
"""Held-out items on which the change that nets of bfloat16 make is measured."""


@torch.no_grad()
def complete(flow: Flow, items: Tensor) -> Tensor:
    """Items (N, *item_shape) with the missing cells of a table's rows drawn by the flow; others are as they were."""
    if flow.columns is None or not bool(items.isnan().any()):
        return items
    return flow.to_items(flow.to_continuous(items)).cpu()


def export(
    run: FinishedRun,
    store: Path | Store | None,
    name: str,
    *,
    neighbours: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Quality, Published | None]:
    """Evaluate a finished run on the test set and, given a store, publish it there under that name.

    The flow's weights are first rounded to the dtype that is published, so the figures are those of the served weights.
    A run that is published already is not published again, unless its rows were kept and now should not be, or the
    other way round. ``neighbours`` says whether rows of a table are kept for its verdicts; ``say`` is told what the
    calibration does, and of an older version that holds rows. Raises StoreError when the store refuses the model.
    """
    flow, preset, splits = run.flow, run.preset, run.splits
    dtype: Dtype = half_dtype([flow]) if preset.halved else "float32"
    round_weights(flow, dtype)
    scores = log_likelihoods(flow, splits.test)
    quality = Quality.of(flow, scores)
    if store is None:
        return quality, None
    arguments = arguments_for(preset, splits)
    before = published_before(store, name, flow, dtype, preset.architecture, arguments)
    if before is not None:
        if _keeps_rows_as_asked(store, before, neighbours):
            return quality, before
        if not neighbours:
            say(f"{before.name}@{before.version} holds rows of the table, and stays at {before.place}")
    latents = Latents.of(flow, splits.test[:LATENT_ITEMS])
    drawn = {
        "loss.png": pictures.curve(run.history, run.best, run.initial),
        "scores.png": pictures.histogram(scores),
        "latents.png": pictures.latents(latents),
    }
    if flow.is_image:
        drawn["samples.png"] = pictures.samples(flow, run.settings.seed)
        drawn["samples-full.png"] = pictures.samples(flow, run.settings.seed, 1.0)
    elif flow.dimensions == 2:
        drawn["density.png"] = pictures.density(flow, complete(flow, splits.test))
    # Columns of a table have units of their own, and bfloat16 would round their values to three digits.
    bfloat16 = None if splits.schema is not None else measure_bfloat16(flow, splits.validation[:PRECISION_ITEMS])
    answering = serving(flow, bfloat16)
    calibration = _calibrated(run, answering, neighbours, say)
    anomaly_map = map_evidence(answering, splits.calibration, source_of(splits.calibration, preset.data))
    own_samples = _own_samples(run, answering, calibration)
    if calibration is not None:
        drawn["calibration.png"] = verdict_pictures.calibration(calibration.calibration)
    if anomaly_map is not None:
        drawn["map.png"] = verdict_pictures.map_example(answering, anomaly_map.calibration, splits.test)
    publication = Publication(
        flow=flow,
        architecture=preset.architecture,
        arguments=arguments,
        golden_items=complete(flow, splits.test[:GOLDEN_ITEMS]),
        weights_dtype=dtype,
        provenance=run.provenance(),
        report=Report(
            quality={"test": quality.figures()} | ({"samples": own_samples.quality.figures()} if own_samples else {}),
            card=card.write(
                run,
                quality,
                latents,
                name,
                dtype,
                pictures=drawn.keys(),
                calibration=calibration,
                own_samples=own_samples,
            ),
            pictures=drawn,
        ),
        calibration=calibration,
        map=anomaly_map,
        bfloat16=bfloat16,
        draws=initial_draws(flow),
        table=splits.schema,
    )
    return quality, publish(store, name, publication)


def _keeps_rows_as_asked(store: Path | Store, before: Published, neighbours: bool) -> bool:
    """Whether a published version holds rows of a table where they are asked for, and none otherwise."""
    shelf = store if isinstance(store, Store) else Store(store)
    note = shelf.manifest(before.name, before.version).calibration
    if note is None or note.folds is None:  # verdicts that look for no neighbours
        return True
    return (note.fit > 0) == neighbours


def _own_samples(run: FinishedRun, flow: Flow, evidence: CalibrationEvidence | None) -> OwnSamples | None:
    """What the flow says of its own samples; None for flows of vectors."""
    if not flow.is_image:
        return None
    calibration = evidence.calibration if evidence else None
    count = min(SAMPLES, len(run.splits.test))
    return OwnSamples.of(flow, calibration if isinstance(calibration, Calibration) else None, run.settings.seed, count)


def _calibrated(
    run: FinishedRun, flow: Flow, neighbours: bool, say: Callable[[str], None]
) -> CalibrationEvidence | None:
    """The calibration of the flow that answers: on rows where the data are a user's table, else on held-out items."""
    splits = run.splits
    if isinstance(run.preset.data, OwnData) and not flow.is_image:
        return row_calibration(run, flow, neighbours=neighbours, say=say)
    return calibration_evidence(flow, splits.calibration, splits.test, source_of(splits.calibration, run.preset.data))
