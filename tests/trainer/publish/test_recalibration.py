"""sluice-calibrate: new p-values for the same weights, through the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from model_store import Store
from trainer.commands.calibrate import main
from trainer.data import IdxImages
from trainer.presets import Preset
from trainer.report.anomaly_statistics import statistics

Train = Callable[..., Result]


@pytest.fixture
def sluice_calibrate(tmp_path: Path) -> Callable[..., Result]:
    """The command, with data and store under tmp_path."""
    places = ["--data-dir", f"{tmp_path}/data", "--store", f"{tmp_path}/store", "--device", "cpu"]
    return lambda *arguments: CliRunner().invoke(main, [*arguments, *places])


def edit(manifest: Path, **changes: object) -> None:
    document = json.loads(manifest.read_text())
    document.update(changes)
    manifest.write_text(json.dumps(document))


def test_an_outdated_calibration_is_renewed_from_the_items_that_training_held_out(
    tiny: Preset, sluice_train: Train, sluice_calibrate: Train, tmp_path: Path
) -> None:
    assert sluice_train("tiny").exit_code == 0
    store, manifest = Store(tmp_path / "store"), tmp_path / "store/tiny-digits/1/manifest.json"
    first = store.load("tiny-digits", 1).calibration
    note = json.loads(manifest.read_text())["calibration"]
    edit(manifest, calibration={**note, "statistics": ["of", "before"]})
    result = sluice_calibrate("tiny-digits")
    assert result.exit_code == 0, result.output
    renewed = store.load("tiny-digits", 2)
    assert renewed.calibration is not None
    assert first is not None
    assert renewed.calibration.tensors().keys() == first.tensors().keys()
    assert all((renewed.calibration.tensors()[key] == first.tensors()[key]).all() for key in first.tensors())
    assert renewed.manifest.calibration is not None
    assert renewed.manifest.calibration.model_dump() == note
    assert note["detection"]["uniform noise"]["auroc"] > 0.9


def test_a_model_whose_held_out_items_are_unknown_is_an_error(
    tiny: Preset, sluice_train: Train, sluice_calibrate: Train, tmp_path: Path
) -> None:
    assert sluice_train("tiny", "--limit", "900").exit_code == 0
    assert "trained on a part of Digits" in sluice_calibrate("tiny-digits").output
    edit(tmp_path / "store/tiny-digits/1/manifest.json", provenance={})
    for refused in (sluice_calibrate("tiny-digits"), sluice_calibrate("unknown")):
        assert refused.exit_code == 1
        assert "Traceback" not in refused.output
    assert "no preset tells" in sluice_calibrate("tiny-digits").output


def test_changed_ordinary_data_give_their_own_p_values(
    tiny: Preset, sluice_train: Train, sluice_calibrate: Train, tmp_path: Path, digits: IdxImages
) -> None:
    assert sluice_train("tiny").exit_code == 0
    _, test = digits.read(tmp_path / "data")
    np.save(tmp_path / "bright.npy", (test // 2 + 100).numpy())
    result = sluice_calibrate("tiny-digits", "--data", f"{tmp_path}/bright.npy")
    assert result.exit_code == 0, result.output
    before, after = (Store(tmp_path / "store").load("tiny-digits", version) for version in (1, 2))
    assert before.calibration is not None
    assert after.calibration is not None
    bright = statistics(after.flow, test // 2 + 100)
    assert before.calibration.judge(bright).p_value.mean() < 0.05
    assert after.calibration.judge(bright).p_value.mean() > 0.3
    assert after.manifest.calibration is not None
    assert after.manifest.calibration.source == "450 items of bright.npy"


def test_own_data_that_do_not_fit_the_model_are_an_error(
    tiny: Preset, sluice_train: Train, sluice_calibrate: Train, tmp_path: Path
) -> None:
    assert sluice_train("tiny").exit_code == 0
    for array, complaint in (
        (np.zeros((100, 8, 8), np.uint8), "holds images of 8x8; tiny-digits@1 takes images of 28x28"),
        (np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8), "are too few"),
    ):
        np.save(tmp_path / "own.npy", array)
        result = sluice_calibrate("tiny-digits", "--data", f"{tmp_path}/own.npy")
        assert result.exit_code == 1
        assert complaint in result.output
        assert "Traceback" not in result.output


def test_only_the_map_is_renewed_where_that_is_asked(
    tiny: Preset, sluice_train: Train, sluice_calibrate: Train, tmp_path: Path
) -> None:
    assert sluice_train("tiny").exit_code == 0
    result = sluice_calibrate("tiny-digits", "--only-map")
    assert result.exit_code == 0, result.output
    store = Store(tmp_path / "store")
    first, second = store.load("tiny-digits", 1), store.load("tiny-digits", 2)
    assert first.map is not None
    assert second.map is not None
    assert second.map.recipe == first.map.recipe
    assert second.manifest.calibration == first.manifest.calibration
    kept = {file: entry for file, entry in first.manifest.files.items() if file != "map.safetensors"}
    assert kept.items() <= second.manifest.files.items()
    assert second.manifest.map is not None
    tried = second.manifest.map.detection
    chosen = ", ".join(f"{name} {'yes' if wanted else 'no'}" for name, wanted in second.map.recipe._asdict().items())
    assert tried[chosen] == max(tried.values())
