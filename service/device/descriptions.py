"""What the api processes learn of a loaded model."""

from __future__ import annotations

import torch
from torch import Tensor

from flows.anomaly import PICTURE_STATISTICS, ROW_STATISTICS, STATISTICS
from model_store import LoadedModel
from model_store.manifest import WEIGHTS
from service.protocol.model_info import CalibrationInfo, MapInfo, ModelInfo, PicturesInfo, ScoreHistogram, TestInfo

_MEANINGS = {**STATISTICS, **ROW_STATISTICS, **PICTURE_STATISTICS}
_BINS = 40
"""Bins of the held-out scores: enough to see their shape on a phone, and little to send."""
_SHOWN = 0.998
"""The share of the scores in the bins of equal width. The greatest of 50,000 can lie ten times as far out."""


def info_of(model: LoadedModel, aliases: tuple[str, ...]) -> ModelInfo:
    """The facts of a model that routes need; ``aliases`` are those that pointed at it when it was loaded."""
    manifest, flow = model.manifest, model.flow
    return ModelInfo(
        name=model.name,
        version=model.version,
        aliases=aliases,
        item_shape=tuple(flow.item_shape),
        item_dtype=manifest.item.dtype,
        latent_shape=tuple(flow.prior.shape),
        architecture=manifest.architecture.name,
        arguments=dict(manifest.architecture.arguments),
        prior=manifest.prior,
        parameters=manifest.weights.parameters,
        weights_dtype=manifest.weights.dtype,
        weights_sha256=manifest.files[WEIGHTS].sha256,
        precision=model.precision,
        fallback=model.fallback,
        device=str(flow.device),
        bfloat16=manifest.bfloat16.model_dump() if manifest.bfloat16 is not None else None,
        quality={split: dict(figures) for split, figures in manifest.quality.items()},
        provenance=dict(manifest.provenance),
        published=manifest.published,
        files=tuple(manifest.files),
        tests=tuple(TestInfo(test.name, tuple(test.reported)) for test in model.judging.tests) if model.judging else (),
        calibration=_calibration(model),
        table=manifest.table,
        map=_map(model),
        pictures=_pictures(model),
    )


def _calibration(model: LoadedModel) -> CalibrationInfo | None:
    note, judging = model.manifest.calibration, model.judging
    if note is None or judging is None:
        return None
    return CalibrationInfo(
        source=note.source,
        statistics={name: _MEANINGS[name] for name in note.statistics},
        folds=note.folds,
        fit=note.fit,
        reference=note.reference,
        detection={foreign: dict(figures) for foreign, figures in note.detection.items()},
        histogram=_histogram(judging.ordinary_scores),
    )


def _histogram(scores: Tensor) -> ScoreHistogram:
    """Of scores (n,), ascending and finite. Bins are of equal width, but the last one, which holds the tail."""
    values = scores.double().cpu()
    low, cut, high = float(values[0]), float(values.quantile(_SHOWN)), float(values[-1])
    width = (cut - low) / (_BINS - 1) or 1.0
    edges = low + width * torch.arange(_BINS + 1, dtype=torch.float64)
    edges[-1] = max(float(edges[-1]), high)
    counts = torch.histogram(values, edges).hist
    return ScoreHistogram(tuple(edges.tolist()), tuple(int(count) for count in counts.tolist()))


def _pictures(model: LoadedModel) -> PicturesInfo | None:
    note, calibration = model.manifest.pictures, model.pictures
    if note is None or calibration is None:
        return None
    return PicturesInfo(**note.model_dump(), aligned_size=calibration.aligned_size)


def _map(model: LoadedModel) -> MapInfo | None:
    if model.pictures is not None:
        calibrated = model.manifest.calibration
        assert calibrated is not None
        return MapInfo(calibrated.source, calibrated.reference, model.pictures.aligned, True, False)
    note = model.manifest.map
    if note is None or model.map is None:
        return None
    return MapInfo(note.source, note.reference, note.aligned, note.absolute, note.relative)
