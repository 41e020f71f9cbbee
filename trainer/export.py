"""From a finished run to a published model: round, evaluate what will be stored, calibrate, draw, publish."""

from __future__ import annotations

from pathlib import Path

from model_store import (
    CalibrationEvidence,
    Publication,
    Published,
    Report,
    measure_bfloat16,
    publish,
    round_weights,
    serving,
)
from trainer import card, pictures
from trainer.calibration import calibrate, source_of
from trainer.detection import against_corruptions
from trainer.evaluation import Latents, Quality, log_likelihoods
from trainer.finished import Finished
from trainer.outset import draws_of

GOLDEN_ITEMS = 8
LATENT_ITEMS = 2000
PRECISION_ITEMS = 2000


def export(run: Finished, store: Path | None, name: str) -> tuple[Quality, Published | None]:
    """Evaluate a finished run on the test set and, given a store, publish it there under that name.

    The flow's weights are first rounded to the preset's storage type, so that what is evaluated is what will be
    served. Raises StoreError when the store refuses the model.
    """
    flow, preset = run.flow, run.preset
    round_weights(flow, preset.weights_dtype)
    scores = log_likelihoods(flow, run.splits.test)
    quality = Quality.of(flow, scores)
    if store is None:
        return quality, None
    bfloat16 = measure_bfloat16(flow, run.splits.validation[:PRECISION_ITEMS])
    answering = serving(flow, bfloat16)
    calibration = calibrate(answering, run.splits.calibration)
    latents = Latents.of(flow, run.splits.test[:LATENT_ITEMS])
    drawn = {
        "loss.png": pictures.curve(run.history, run.best),
        "scores.png": pictures.histogram(scores),
        "latents.png": pictures.latents(latents),
    }
    if flow.is_image:
        drawn["samples.png"] = pictures.samples(flow, run.seed)
    elif flow.dimensions == 2:
        drawn["density.png"] = pictures.density(flow, run.splits.test)
    evidence = calibration and CalibrationEvidence(
        calibration=calibration,
        source=source_of(run.splits.calibration, preset.data),
        detection=against_corruptions(answering, calibration, run.splits.test),
    )
    publication = Publication(
        flow=flow,
        architecture=preset.architecture,
        arguments=preset.arguments,
        golden_items=run.splits.test[:GOLDEN_ITEMS],
        weights_dtype=preset.weights_dtype,
        provenance=run.provenance(),
        report=Report(
            quality={"test": quality.figures()},
            card=card.write(run, quality, latents, name, pictures=drawn.keys()),
            pictures=drawn,
        ),
        calibration=evidence,
        bfloat16=bfloat16,
        draws=draws_of(flow),
    )
    return quality, publish(store, name, publication)
