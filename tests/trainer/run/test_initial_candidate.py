"""The state before the first step is a candidate for the weights that a run keeps, as epoch 0."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest
import torch
from click.testing import Result
from safetensors import safe_open
from safetensors.torch import save_file

from model_store import Store
from tests.trainer.conftest import read_state, register, stop_after
from trainer.presets import Preset
from trainer.run.length import Length
from trainer.run.likelihoods import log_likelihoods
from trainer.run.state import EpochRecord, Progress, Validation

Train = Callable[..., Result]


def _progress(run_dir: Path) -> dict[str, object]:
    with safe_open(run_dir / "state.safetensors", "pt") as file:
        found: dict[str, object] = json.loads(file.metadata()["progress"])
        return found


def _as_saved_by_an_older_version(run_dir: Path) -> None:
    """Rewrite a state as it was before the initial state was a candidate: without its validation and its weights."""
    path = run_dir / "state.safetensors"
    with safe_open(path, "pt") as file:
        header = file.metadata()
    progress = json.loads(header["progress"])
    del progress["initial"]
    tensors = read_state(run_dir)
    if not progress["history"]:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("best/")}
    save_file(tensors, path, header | {"progress": json.dumps(progress)})


@pytest.fixture
def harmful(tiny: Preset, monkeypatch: pytest.MonkeyPatch) -> Preset:
    """A preset each of whose steps takes the weights far from where likelihoods are high."""
    preset = replace(tiny, name="harmful", learning_rate=0.3, warmup_steps=1, clip_norm=1e9)
    register(preset, monkeypatch)
    return preset


def test_a_training_that_only_harms_publishes_what_it_began_with(
    harmful: Preset, sluice_train: Train, tmp_path: Path
) -> None:
    result = sluice_train("harmful", "--precision", "float32")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    validation = [float(line.split("validation ")[1].split()[0]) for line in lines[:3]]
    assert lines[0].startswith("epoch 0/2")
    assert lines[0].endswith("before the first step")
    assert validation[0] > max(validation[1:])

    progress, state = _progress(tmp_path / "run"), read_state(tmp_path / "run")
    assert progress["initial"] == {"epoch": 0, "validation": pytest.approx(validation[0], abs=0.06)}
    zeros = [name for name in state if name.startswith("best/") and name.endswith("net.layers.2.weight")]
    assert len(zeros) == 2
    assert not any(state[name].any() for name in zeros), "last layers of nets start at zero"

    version = tmp_path / "store/tiny-digits/1"
    assert json.loads((version / "manifest.json").read_text())["provenance"]["kept_epoch"] == 0
    assert "The initial weights are kept" in (version / "README.md").read_text()
    flow = Store(tmp_path / "store").load("tiny-digits", 1).flow
    _, test = harmful.data.read(tmp_path / "data")
    assert float(log_likelihoods(flow, test).mean()) > validation[1], "the served weights are the initial ones"


def test_a_run_that_learns_keeps_an_epoch_and_its_card_states_the_initial_validation(
    tiny: Preset, sluice_train: Train, tmp_path: Path
) -> None:
    result = sluice_train("tiny", "--precision", "float32")
    assert result.exit_code == 0, result.output
    progress = _progress(tmp_path / "run")
    assert isinstance(progress["initial"], dict)
    assert len(progress["history"]) == 2  # type: ignore[arg-type]
    version = tmp_path / "store/tiny-digits/1"
    assert json.loads((version / "manifest.json").read_text())["provenance"]["kept_epoch"] == 2
    card = (version / "README.md").read_text()
    assert "The weights of epoch 2, the best by validation, are kept." in card
    assert f"that of the initial weights is {progress['initial']['validation']:.2f} nats" in card


def test_a_stopped_run_that_harms_still_knows_its_initial_weights(
    harmful: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sluice_train("harmful", "--no-publish").exit_code == 0
    straight = read_state(tmp_path / "run")
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert sluice_train("harmful", "--no-publish", "--fresh").exit_code == 130
    resumed = sluice_train("harmful", "--no-publish")
    assert resumed.exit_code == 0, resumed.output
    assert "before the first step" not in resumed.output, "the weights in the state are not the initial ones"
    final = read_state(tmp_path / "run")
    assert final.keys() == straight.keys()
    assert all(final[name].equal(tensor) for name, tensor in straight.items())


@pytest.mark.parametrize("stop_at", [4, 14], ids=["in the first epoch", "in the second epoch"])
def test_a_run_of_an_older_version_is_resumed_without_an_initial_candidate(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, stop_at)
        assert sluice_train("tiny").exit_code == 130
    _as_saved_by_an_older_version(tmp_path / "run")
    resumed = sluice_train("tiny")
    assert resumed.exit_code == 0, resumed.output
    assert "before the first step" not in resumed.output
    assert _progress(tmp_path / "run")["initial"] is None
    manifest = json.loads((tmp_path / "store/tiny-digits/1/manifest.json").read_text())
    assert manifest["provenance"]["kept_epoch"] == 2


def test_a_preset_that_keeps_its_last_epoch_does_not_validate_before_its_first_step(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(replace(tiny, name="last", keep_best=False), monkeypatch)
    result = sluice_train("last", "--no-publish", "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "epoch 0" not in result.output
    assert _progress(tmp_path / "run")["initial"] is None


def test_an_initial_likelihood_that_is_not_finite_is_no_candidate(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10))

    def spoiled_at_first(*arguments: torch.Tensor) -> torch.Tensor:
        return log_likelihoods(*arguments) * (float("nan") if next(calls) == 0 else 1)  # type: ignore[arg-type]

    monkeypatch.setattr("trainer.run.loop.log_likelihoods", spoiled_at_first)
    result = sluice_train("tiny", "--no-publish", "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "before the first step" not in result.output
    assert _progress(tmp_path / "run")["initial"] is None


def test_the_initial_validation_counts_towards_a_budget_of_minutes(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each validation takes 32 s by the clock. At least 36 s of the minute are for training: the initial one and that of
    # the first epoch use it up, and two of epochs alone would be needed otherwise.
    late = [0.0]

    def slow(*arguments: torch.Tensor) -> torch.Tensor:
        late[0] += 32
        return log_likelihoods(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("trainer.run.loop.log_likelihoods", slow)
    monkeypatch.setattr("trainer.run.loop.perf_counter", lambda: perf_counter() + late[0])
    result = sluice_train("tiny", "--no-publish", "--minutes", "1")
    assert result.exit_code == 0, result.output
    progress = _progress(tmp_path / "run")
    assert progress["initial"] is not None
    assert progress["epoch"] == 1


def test_an_initial_validation_that_would_take_most_of_a_budget_is_left_out() -> None:
    assert Length(9, 10).affords_initial_validation(Progress(spent=1e6)), "without a budget it always runs"
    assert Length(9, 10, seconds=60.0, validation_seconds=5.0).affords_initial_validation(Progress(spent=30.0))
    assert not Length(9, 10, seconds=60.0, validation_seconds=5.0).affords_initial_validation(Progress(spent=45.0))


def test_of_equal_validations_the_earlier_is_the_best() -> None:
    record = EpochRecord(epoch=1, train=0.0, validation=5.0, seconds=1.0, skipped=0)
    assert Progress(history=[record], initial=Validation(epoch=0, validation=5.0)).best == Validation(
        epoch=0, validation=5.0
    )
    assert Progress(history=[record], initial=Validation(epoch=0, validation=4.0)).best == record
    assert Progress(initial=Validation(epoch=0, validation=4.0)).best == Validation(epoch=0, validation=4.0)
    assert Progress().best is None
