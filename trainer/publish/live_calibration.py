"""A new calibration for a published model from statistics of its live traffic, which the service has kept."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import model_store
from flows import anomaly
from model_store import LoadedModel, MapEvidence
from model_store.files import DamagedFile
from model_store.live_statistics import LiveSample, live_sample
from model_store.manifest import CALIBRATION
from trainer.errors import DataError

_MOST_ITEMS = 10_000
"""Items that calibrate at most: more make verdicts slower and p-values hardly finer."""
LEVELS = (0.05, 0.01)
"""The levels at which the old version's flags are counted."""


class LiveCalibration(NamedTuple):
    """A version that was calibrated on live traffic, and what its items were to the version before."""

    published: model_store.Published
    sample: LiveSample
    calibrating: int
    """Items that p-values are now ranked among."""
    left_out: int
    """Items of the sample that were trimmed."""
    flagged: dict[float, float]
    """By level: the part of the sample that the version before finds anomalous at it."""


def calibrated_on_live_traffic(
    root: Path | model_store.Store, model: LoadedModel, directory: Path, *, since: str | None = None, trim: float = 0.0
) -> LiveCalibration:
    """Publish a model's weights and nonconformity scores with p-values among the items that it has scored.

    ``directory`` is the service's SLUICE_DRIFT_DIR; items count from the day ``since`` on. The part ``trim`` of them
    with the highest nonconformity scores calibrates nothing: at a level alpha, alpha (1 - trim) + trim of such
    traffic is then flagged. Maps stay as they are. Raises DataError.
    """
    calibration = model.calibration
    if model.pictures is not None:
        raise DataError(
            f"{model.reference}: scores pictures of any size, of whose traffic nothing is kept; sluice-train pictures "
            "trains and calibrates it anew"
        )
    if calibration is None:
        raise DataError(f"{model.reference}: is not calibrated, so that nothing is kept of its traffic; --data can")
    sample = _sample(model, directory, since)
    scores = anomaly.combined_scores(calibration, sample.measures)
    before = anomaly.p_values_before(calibration, sample.measures, sample.members)
    kept = scores.argsort(stable=True)[: len(scores) - round(trim * len(scores))]
    members = len(calibration.sizes)
    least = max(3, members) * anomaly.MINIMUM_ITEMS
    if len(kept) < least:
        raise DataError(
            f"{len(kept):,} items are too few to calibrate {model.reference} on; at least {least} are needed, and "
            "thousands to tell an alarm in a thousand"
        )
    kept = kept.sort().values
    try:
        anew = anomaly.renewed(calibration, sample.measures[kept], sample.members[kept])
    except ValueError as error:
        raise DataError(f"the statistics in {directory} are not of {model.reference}: {error}") from error
    left_out = len(scores) - len(kept)
    evidence = model_store.CalibrationEvidence(
        calibration=anew, source=_source(model, sample, len(kept), left_out), live=True
    )
    published = model_store.recalibrate(
        root, model, evidence, anomaly_map=_same_map(model), bfloat16=model.manifest.bfloat16
    )
    flagged = {level: float((before <= level).double().mean()) for level in LEVELS}
    return LiveCalibration(published, sample, len(kept), left_out, flagged)


def _sample(model: LoadedModel, directory: Path, since: str | None) -> LiveSample:
    digest = model.manifest.files[CALIBRATION].sha256
    try:
        sample = live_sample(directory, model.name, model.version, digest, since=since, most=_MOST_ITEMS)
    except (DamagedFile, OSError) as error:
        raise DataError(f"{directory}: {error}") from error
    if sample is None:
        days = "" if since is None else f" of {since} or later"
        raise DataError(
            f"{directory} holds no statistics{days} of what {model.reference} has scored; with SLUICE_LIVE_STATISTICS="
            f"{model.name} and SLUICE_DRIFT_DIR={directory} the service keeps them"
        )
    members = 0 if model.calibration is None else len(model.calibration.sizes)
    if bool((sample.members >= members).any()):
        raise DataError(f"the statistics in {directory} are of a calibration with more members")
    return sample


def _source(model: LoadedModel, sample: LiveSample, calibrating: int, left_out: int) -> str:
    trimmed = f", without the {left_out:,} least ordinary of the sample" if left_out else ""
    return (
        f"live traffic: statistics of {calibrating:,} of {sample.seen:,} items that {model.reference} scored "
        f"{sample.days}{trimmed}; nobody has looked whether they are ordinary"
    )


def _same_map(model: LoadedModel) -> MapEvidence | None:
    note = model.manifest.map
    if model.map is None or note is None:
        return None
    return MapEvidence(calibration=model.map, source=note.source, fit=note.fit, detection=note.detection)
