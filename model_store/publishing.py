"""Publishing: a flow with its calibrations, report and self-test becomes the next version of a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from flows import ARCHITECTURES, Flow
from flows.anomaly import CrossCalibration, PictureCalibration
from flows.anomaly.calibration import least_alpha
from flows.priors import PRIORS
from model_store import manifest as m
from model_store import selftest
from model_store.aliases import DEFAULT
from model_store.calibrations import calibration_to_bytes
from model_store.draws import draws_from_png, draws_to_png
from model_store.errors import FailedSelfTest, StoreError
from model_store.loading import LoadedModel
from model_store.publication import CalibrationEvidence, MapEvidence, Publication
from model_store.reference import is_name
from model_store.remote.store import RemoteStore
from model_store.store import Store
from model_store.weights import DamagedTensors, flow_from_bytes, flow_to_bytes, to_bytes
from model_store.writing import written

_LEAST_TOLERANCE = 1e-3
"""Nats by which a golden log-likelihood may always differ, however few dimensions a flow has."""


class Published(NamedTuple):
    """A published version and its directory."""

    name: str
    version: int
    path: Path
    """Of a store at a URL: where its files are kept once somebody loads it."""
    verdicts: str
    """What p-values rest on and how small they can be, as a sentence for people."""
    new: bool = True
    """Whether it was published just now."""
    url: str | None = None
    """Of a store at a URL."""
    default: int | None = None
    """The version that the name alone means, where it is another."""

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return self.url or str(self.path)

    @property
    def told_of_default(self) -> str:
        """What the name alone means, where it is another version, for people."""
        return "" if self.default is None else f"{self.name} alone means {self.name}@{self.default}"


def publish(store: Path | Store, name: str, publication: Publication) -> Published:
    """Publish a flow as the next version of ``name`` and point the alias `default` at it.

    Raises StoreError when the name cannot name a model or a load would refuse the draws, and FailedSelfTest when the
    version, read back from its bytes, fails its own self-test. The store is then as it was.
    """
    check_name(name)
    weights = flow_to_bytes(publication.flow, publication.weights_dtype)
    draft = _draft(name, publication)
    stored = flow_from_bytes(draft, weights)
    items, seed = publication.golden_items, draft.golden.seed
    answers = selftest.golden_log_likelihood(stored, items, seed)
    problem = selftest.complaint(selftest.measure(stored, items, answers, seed), draft.golden)
    if problem:
        raise FailedSelfTest(f"{name} is not published: {problem}")
    files = {
        m.WEIGHTS: weights,
        m.GOLDEN: to_bytes({"items": items, "log_likelihood": answers}),
        m.CARD: publication.report.card.encode(),
        **publication.report.pictures,
        **_measured_files(
            draft, publication.calibration, publication.map, publication.draws, publication.weights_dtype
        ),
    }
    return _write(store, draft, files)


def published_before(
    store: Path | Store,
    name: str,
    flow: Flow,
    weights_dtype: m.Dtype,
    architecture: str,
    arguments: Mapping[str, Any],
) -> Published | None:
    """The newest version of a name that is exactly this flow, of these weights and arguments, if there is one."""
    shelf = _shelf(store)
    if not is_name(name):
        return None
    digest = hashlib.sha256(flow_to_bytes(flow, weights_dtype)).hexdigest()
    known = ARCHITECTURES[architecture]
    for version in reversed(shelf.versions(name)):
        with suppress(StoreError):  # a damaged version holds nothing
            manifest = shelf.manifest(name, version)
            weights = manifest.files.get(m.WEIGHTS)  # None of a damaged version
            same = weights is not None and weights.sha256 == digest and manifest.architecture.name == architecture
            if same and known.whole(manifest.architecture.arguments) == known.whole(arguments):
                verdicts = verdicts_of(manifest.calibration)
                return published_in(shelf, name, version, verdicts, new=False)
    return None


def recalibrate(
    store: Path | Store,
    model: LoadedModel,
    evidence: CalibrationEvidence,
    *,
    anomaly_map: MapEvidence | None = None,
    bfloat16: m.Bfloat16Note | None = None,
    draws: Tensor | None = None,
) -> Published:
    """Publish a loaded model with other calibrations as the next version of its name, all else unchanged.

    Without ``anomaly_map`` the new version has no maps: those of the old one belong to its calibration's items.
    ``draws`` replaces the draws that the model was published with, if any. The provenance names the version that the
    weights come from. Raises ModelRefused when a file of the model was damaged since it was loaded.
    """
    kept = {file: model.read(file) for file in model.manifest.files if file not in (m.CALIBRATION, m.MAP)}
    draft = model.manifest.model_copy(
        update={
            "published": _now(),
            "provenance": {**model.manifest.provenance, "weights_of": model.reference},
            "calibration": _note(evidence),
            "map": _map_note(anomaly_map),
            "bfloat16": bfloat16,
        }
    )
    return _write(store, draft, {**kept, **_measured_files(draft, evidence, anomaly_map, draws)})


def add_map(store: Path | Store, model: LoadedModel, anomaly_map: MapEvidence) -> Published:
    """Publish a loaded model with another calibration of its maps alone, all else unchanged.

    Raises ModelRefused when a file of the model was damaged since it was loaded.
    """
    kept = {file: model.read(file) for file in model.manifest.files if file != m.MAP}
    provenance = {**model.manifest.provenance, "weights_of": model.reference}
    draft = model.manifest.model_copy(
        update={"published": _now(), "provenance": provenance, "map": _map_note(anomaly_map)}
    )
    return _write(store, draft, {**kept, **_measured_files(draft, None, anomaly_map, None)})


def republish(store: Path | Store, model: LoadedModel, name: str) -> Published:
    """Publish a model that was loaded from elsewhere as the next version of ``name``, all else unchanged.

    The provenance tells what it was called there. Raises StoreError when the name cannot name a model, and ModelRefused
    when a file of the model was damaged since it was loaded.
    """
    check_name(name)
    files = {file: model.read(file) for file in model.manifest.files}
    provenance = {**model.manifest.provenance, "published_as": model.reference}
    return _write(store, model.manifest.model_copy(update={"name": name, "provenance": provenance}), files)


def check_name(name: str) -> None:
    """Raise StoreError when the name cannot name a model."""
    if not is_name(name):
        raise StoreError(f"{name!r} cannot name a model: lower-case letters and digits, joined by '.', '_' or '-'")


def _draft(name: str, publication: Publication) -> m.Manifest:
    """The manifest of a publication, still without its version and its list of files."""
    flow = publication.flow
    return m.Manifest(
        format=m.FORMAT,
        name=name,
        version=1,
        published=_now(),
        architecture=m.Architecture(
            name=publication.architecture,
            arguments=json.loads(json.dumps(dict(publication.arguments))),  # as a reader will see them, without tuples
        ),
        item=m.Item(shape=list(flow.item_shape), dtype="uint8" if flow.is_image else "float32"),
        prior=next(name for name, kind in PRIORS.items() if type(flow.prior) is kind),
        weights=m.Weights(dtype=publication.weights_dtype, parameters=sum(p.numel() for p in flow.parameters())),
        provenance=dict(publication.provenance),
        quality={split: dict(figures) for split, figures in publication.report.quality.items()},
        golden=m.Golden(
            count=len(publication.golden_items),
            seed=0,
            log_likelihood_tolerance=max(_LEAST_TOLERANCE, selftest.NATS_PER_DIMENSION * flow.dimensions),
            round_trip_tolerance=selftest.ROUND_TRIP,
        ),
        calibration=None if publication.calibration is None else _note(publication.calibration),
        map=_map_note(publication.map),
        bfloat16=publication.bfloat16,
        pictures=publication.pictures,
        schema=publication.table,
        files={},
    )


def _note(evidence: CalibrationEvidence) -> m.CalibrationNote:
    calibration = evidence.calibration
    folds: int | None = None
    if isinstance(calibration, CrossCalibration):
        folds = len(calibration.members)
    elif isinstance(calibration, PictureCalibration):
        folds = len(calibration.densities)
    return m.CalibrationNote(
        source=evidence.source,
        statistics=[name for test in calibration.tests for name in test.statistics],
        fit=calibration.fit,
        reference=calibration.size,
        folds=folds,
        detection={items: dict(figures) for items, figures in evidence.detection.items()},
        live=evidence.live,
    )


def _map_note(evidence: MapEvidence | None) -> m.MapNote | None:
    if evidence is None:
        return None
    return m.MapNote(
        source=evidence.source,
        **evidence.calibration.recipe._asdict(),
        fit=evidence.fit,
        reference=evidence.calibration.size,
        detection=dict(evidence.detection),
    )


def _measured_files(
    draft: m.Manifest,
    evidence: CalibrationEvidence | None,
    anomaly_map: MapEvidence | None,
    draws: Tensor | None,
    weights_dtype: m.Dtype = "float32",
) -> dict[str, bytes]:
    """The files of the parts that a version may lack. Raises StoreError for draws that no load would read."""
    files = {}
    if evidence is not None:
        files[m.CALIBRATION] = calibration_to_bytes(evidence.calibration, weights_dtype)
    if anomaly_map is not None:
        files[m.MAP] = to_bytes(anomaly_map.calibration.tensors())
    if draws is not None:
        files[m.DRAWS] = draws_to_png(draws)
        try:
            draws_from_png(files[m.DRAWS], draft.item.shape)
        except DamagedTensors as error:
            raise StoreError(f"{draft.name} is not published: {m.DRAWS}: {error}") from error
    return files


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(store: Path | Store, draft: m.Manifest, files: Mapping[str, bytes]) -> Published:
    shelf = _shelf(store)
    return published_in(shelf, draft.name, written(shelf, draft, files), verdicts_of(draft.calibration))


def published_in(store: Store, name: str, version: int, verdicts: str, new: bool = True) -> Published:
    """A version of a store, as publishing gives it."""
    url = f"{store.url}/{name}/{version}" if isinstance(store, RemoteStore) else None
    default = store.aliases(name).get(DEFAULT)
    other = None if default == version else default
    return Published(name, version, store.root / name / str(version), verdicts, new, url, other)


def _shelf(store: Path | Store) -> Store:
    return store if isinstance(store, Store) else Store(store)


def verdicts_of(note: m.CalibrationNote | None) -> str:
    """What p-values rest on and how small they can be, as a sentence for people."""
    if note is None:
        return "verdicts: none, since there were too few items to calibrate p-values on"
    n = note.reference
    lost = [f"{alpha:g}" for alpha in (0.1, 0.05, 0.01) if alpha < 1 / (n + 1)]
    never = f"; an alpha of {' or '.join(lost)} cannot be reached" if lost else ""
    smallest = f"1 / {n + 1:,}; the smallest usable --alpha is {least_alpha(n):g}"
    return f"verdicts: p-values rest on {n:,} items; none is below {smallest}{never}"
