"""Cross-conformal calibrations in the store: what comes back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import flows
from flows import Flow
from flows.anomaly import CrossCalibration
from model_store import CalibrationEvidence, ModelRefused, Publication, Published, Store, publish
from model_store.calibrations import calibration_of, calibration_to_bytes
from model_store.weights import DamagedTensors

ARGUMENTS = {"couplings": 2, "hidden": [4], "whitening": "standardise", "image": False}
ROWS = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


def fitted(rows: torch.Tensor) -> Flow:
    flow = flows.nice((3,), couplings=2, hidden=[4], whitening="standardise", image=False)
    flow.initialise(rows)
    return flow.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def calibration() -> CrossCalibration:
    folds = torch.arange(60) % 5
    return CrossCalibration.of([fitted(ROWS[folds != k]) for k in range(5)], ROWS, folds)


@pytest.fixture
def published(tmp_path: Path, calibration: CrossCalibration) -> Published:
    evidence = CalibrationEvidence(calibration=calibration, source="rows")
    publication = Publication(
        flow=fitted(ROWS), architecture="nice", arguments=ARGUMENTS, golden_items=ROWS[:4], calibration=evidence
    )
    return publish(tmp_path, "rows", publication)


def test_a_loaded_calibration_gives_the_same_p_values(
    published: Published, tmp_path: Path, calibration: CrossCalibration
) -> None:
    loaded = Store(tmp_path).load("rows", 1)
    assert isinstance(loaded.calibration, CrossCalibration)
    fresh = torch.randn(32, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(loaded.calibration.judge(fresh).p_value, calibration.judge(fresh).p_value)
    note = loaded.manifest.calibration
    assert note is not None
    assert (note.folds, note.reference, note.fit) == (5, 60, 60)
    assert "smallest usable --alpha" in published.verdicts


@pytest.mark.parametrize("missing", ["kept", "folds", "fitted.2", "flow.3.", "grid"])
def test_a_missing_tensor_is_refused(
    published: Published, tmp_path: Path, calibration: CrossCalibration, missing: str
) -> None:
    model = Store(tmp_path).load("rows", 1)
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(calibration_to_bytes(calibration))
    tensors = load_file(path)
    found = next(name for name in tensors if name.startswith(missing))
    del tensors[found]
    save_file(tensors, path)
    with pytest.raises(DamagedTensors):
        calibration_of(model.flow, model.manifest, {"calibration.safetensors": path.read_bytes()})


def test_a_changed_file_is_refused(published: Published, tmp_path: Path) -> None:
    file = published.path / "calibration.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelRefused):
        Store(tmp_path).load("rows", 1)
