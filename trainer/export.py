"""From a finished run to a published model: round, evaluate what will be stored, calibrate, draw, publish."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration
from model_store import Published, publish, round_weights
from trainer import card, pictures
from trainer.calibration import calibrate, statistics
from trainer.detection import detection
from trainer.evaluation import Quality, log_likelihoods
from trainer.finished import Finished
from trainer.foreign import corruptions

GOLDEN_ITEMS = 8
_DETECTED_ITEMS = 2000


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
    calibration = calibrate(flow, run.splits.validation)
    drawn = {"loss.png": pictures.curve(run.history, run.best), "scores.png": pictures.histogram(scores)}
    if flow.is_image:
        drawn["samples.png"] = pictures.samples(flow, run.seed)
    elif flow.dimensions == 2:
        drawn["density.png"] = pictures.density(flow, run.splits.test)
    published = publish(
        store,
        name,
        flow,
        architecture=preset.architecture,
        arguments=preset.arguments,
        golden_items=run.splits.test[:GOLDEN_ITEMS],
        provenance=run.provenance(),
        quality={"test": quality.figures(), **_detected(flow, calibration, run.splits.test)},
        card=card.write(run, quality, name, pictures=drawn.keys()),
        pictures=drawn,
        calibration=calibration,
        calibrated_on=f"{len(run.splits.validation):,} items of {preset.data.title} that no weight was trained on",
        weights_dtype=preset.weights_dtype,
    )
    return quality, published


def _detected(flow: Flow, calibration: Calibration | None, test: Tensor) -> dict[str, dict[str, float]]:
    """How well the combined verdict tells corrupted test images from the test images themselves."""
    if calibration is None or not flow.is_image:
        return {}
    images = test[:_DETECTED_ITEMS]
    ordinary = -calibration.judge(statistics(flow, images)).p_value
    return {
        f"against {name}": detection(ordinary, -calibration.judge(statistics(flow, foreign)).p_value)._asdict()
        for name, foreign in corruptions(images).items()
    }
