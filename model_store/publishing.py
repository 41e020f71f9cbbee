"""Publishing: a hidden temporary directory on the same file system, fsync, rename: a reader sees all or nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration
from flows.priors import PRIORS
from model_store import manifest as m
from model_store import selftest
from model_store.draws import draws_to_png
from model_store.errors import StoreError
from model_store.files import replace_durably, sync_directory, versions_in, write_durably
from model_store.reference import is_name
from model_store.store import DEFAULT, LoadedModel, Store
from model_store.weights import flow_from_bytes, flow_to_bytes, to_bytes


class Published(NamedTuple):
    name: str
    version: int
    path: Path


def publish(
    store: Path,
    name: str,
    flow: Flow,
    *,
    architecture: str,
    arguments: Mapping[str, Any],
    golden_items: Tensor,
    provenance: Mapping[str, str | int | float],
    quality: Mapping[str, Mapping[str, float]],
    card: str,
    calibration: Calibration | None = None,
    calibrated_on: str = "",
    detection: Mapping[str, Mapping[str, float]] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    weights_dtype: m.Dtype = "float32",
    bfloat16: m.Bfloat16Note | None = None,
    drawn: Tensor | None = None,
) -> Published:
    """Publish a trained flow as the next version of ``name`` and point the alias `default` at it.

    ``golden_items`` (N, ...) are a few held-out items, as a user would send them; ``quality`` maps a split to its
    figures; ``pictures`` maps file names to PNG bytes; ``calibrated_on`` says where the calibration's items come from;
    ``detection`` maps foreign sets to figures of how well the verdict finds them; ``bfloat16`` is what nets of that
    precision change; ``drawn`` are items that the flow drew, for its inpaintings to set out from (see
    ``inpainting.draws``). Calibration and detection are of the flow that serves (see ``precision.serving``).
    Raises StoreError when the name is no name, or when the version as a reader would load it fails its own self-test;
    the store is then as it was.
    """
    if not is_name(name):
        raise StoreError(f"{name!r} cannot name a model: lower-case letters and digits, joined by '.', '_' or '-'")
    arguments = json.loads(json.dumps(arguments))  # as a reader will see them: a tuple is a list
    weights = flow_to_bytes(flow, weights_dtype)
    golden = m.Golden(
        count=len(golden_items),
        seed=0,
        log_likelihood_tolerance=max(1e-3, selftest.NATS_PER_DIMENSION * flow.dimensions),
        round_trip_tolerance=selftest.ROUND_TRIP,
    )
    draft = m.Manifest(
        format=1,
        name=name,
        version=1,
        published=_now(),
        architecture=m.Architecture(name=architecture, arguments=dict(arguments)),
        item=m.Item(shape=list(flow.item_shape), dtype="uint8" if flow.is_image else "float32"),
        prior=_prior_of(flow),
        weights=m.Weights(dtype=weights_dtype, parameters=sum(p.numel() for p in flow.parameters())),
        provenance=dict(provenance),
        quality={split: dict(figures) for split, figures in quality.items()},
        golden=golden,
        calibration=_note(calibration, calibrated_on, detection or {}),
        bfloat16=bfloat16,
        files={},
    )
    served = flow_from_bytes(draft, weights)
    answers = selftest.golden_log_likelihood(served, golden_items, golden.seed)
    problem = selftest.complaint(selftest.measure(served, golden_items, answers, golden.seed), golden)
    if problem:
        raise StoreError(f"{name} is not published: {problem}")
    files = {
        m.WEIGHTS: weights,
        m.GOLDEN: to_bytes({"items": golden_items, "log_likelihood": answers}),
        m.CARD: card.encode(),
        **(pictures or {}),
    }
    if calibration is not None:
        files[m.CALIBRATION] = to_bytes(calibration.tensors())
    if drawn is not None:
        files[m.DRAWS] = draws_to_png(drawn)
    return _write(store, draft, files)


def recalibrate(
    store: Path,
    model: LoadedModel,
    calibration: Calibration,
    *,
    calibrated_on: str,
    detection: Mapping[str, Mapping[str, float]],
    bfloat16: m.Bfloat16Note | None = None,
    drawn: Tensor | None = None,
) -> Published:
    """Publish a loaded model with another calibration as the next version of its name, all else as it is.

    ``drawn`` takes the place of what the model has of it, if any. The provenance names the version that the weights
    come from. Raises ModelRefused when a file of the model was damaged since it was loaded.
    """
    files = {file: model.read(file) for file in model.manifest.files if file != m.CALIBRATION}
    draft = model.manifest.model_copy(
        update={
            "published": _now(),
            "provenance": {**model.manifest.provenance, "weights_of": model.reference},
            "calibration": _note(calibration, calibrated_on, detection),
            "bfloat16": bfloat16,
        }
    )
    files[m.CALIBRATION] = to_bytes(calibration.tensors())
    if drawn is not None:
        files[m.DRAWS] = draws_to_png(drawn)
    return _write(store, draft, files)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(store: Path, draft: m.Manifest, files: Mapping[str, bytes]) -> Published:
    directory = store / draft.name
    directory.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".publishing-", dir=directory))
    try:
        temporary.chmod(0o755)  # mkdtemp's 0700 would keep out a service that runs as another user
        for file, data in files.items():
            write_durably(temporary / file, data)
        entries = {
            file: m.FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for file, data in files.items()
        }
        version = 0
        while not version:
            version = _claim(temporary, draft.model_copy(update={"files": entries}), directory)
        sync_directory(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    Store(store).set_alias(draft.name, DEFAULT, version)
    return Published(draft.name, version, directory / str(version))


def _claim(temporary: Path, draft: m.Manifest, directory: Path) -> int:
    """Rename to the next free version and return it, or 0 when somebody else published that number meanwhile."""
    version = max(versions_in(directory), default=0) + 1
    manifest = draft.model_copy(update={"version": version})
    replace_durably(temporary / m.MANIFEST, (manifest.model_dump_json(indent=1) + "\n").encode())
    try:
        temporary.rename(directory / str(version))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return 0
    return version


def _note(
    calibration: Calibration | None, source: str, detection: Mapping[str, Mapping[str, float]]
) -> m.CalibrationNote | None:
    if calibration is None:
        return None
    return m.CalibrationNote(
        source=source,
        statistics=[name for test in calibration.nonconformity.tests for name in test.statistics],
        fit=len(calibration.nonconformity.fit),
        reference=calibration.size,
        detection={foreign: dict(figures) for foreign, figures in detection.items()},
    )


def _prior_of(flow: Flow) -> str:
    return next(name for name, kind in PRIORS.items() if type(flow.prior) is kind)
