"""TensorBoard finds a run's curves, also after a stop, and a run without it writes none."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.trainer.conftest import stop_after
from trainer.presets import Preset

Train = Callable[..., Result]


def _curves(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    found = EventAccumulator(str(run_dir / "events"))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_every_step_and_every_epoch_has_a_point(tiny: Preset, sluice_train: Train, tmp_path: Path) -> None:
    result = sluice_train("tiny", "--tensorboard")
    assert result.exit_code == 0, result.output
    curves = _curves(tmp_path / "run")
    assert [step for step, _ in curves["step/training nats"]] == list(range(1, 21))
    assert [step for step, _ in curves["epoch/validation nats"]] == [0, 10, 20]
    mean = sum(value for _, value in curves["step/training nats"][:10]) / 10
    assert mean == pytest.approx(curves["epoch/training nats"][0][1], rel=1e-4)
    for epoch in (0, 1, 2):
        assert f"validation {curves['epoch/validation nats'][epoch][1]:.1f} nats" in result.output
    assert {value for _, value in curves["epoch/skipped steps"]} == {0}
    assert max(value for _, value in curves["step/learning rate"]) < tiny.learning_rate


def test_a_resumed_run_continues_its_curves(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 13)
        assert sluice_train("tiny", "--tensorboard").exit_code == 130
    assert sluice_train("tiny", "--tensorboard", "--no-publish").exit_code == 0
    curves = _curves(tmp_path / "run")
    assert [step for step, _ in curves["step/training nats"]] == list(range(1, 21))
    assert [step for step, _ in curves["epoch/validation nats"]] == [0, 10, 20]


def test_without_the_package_the_extra_is_named(
    tiny: Preset, sluice_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    result = sluice_train("tiny", "--tensorboard")
    assert result.exit_code == 1
    assert "pip install 'sluice[tensorboard]'" in result.output
    assert sluice_train("tiny", "--no-publish").exit_code == 0


def test_a_run_without_the_flag_writes_no_events(tiny: Preset, sluice_train: Train, tmp_path: Path) -> None:
    assert sluice_train("tiny", "--epochs", "1").exit_code == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"samples.png", "state.safetensors"}
    assert json.loads((tmp_path / "store/tiny-digits/1/manifest.json").read_text())["provenance"]["epochs"] == 1
