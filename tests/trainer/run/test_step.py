"""The training step: what it leaves alone, how it falls back, and in which arithmetic a run computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

import flows
from tests.trainer.conftest import register, stop_after
from trainer import data
from trainer.optimisers import learning_rate
from trainer.presets import Preset
from trainer.publish import export
from trainer.run import experiment, loop
from trainer.run.initial_state import fresh_state
from trainer.run.randomness import augment, dequantise, noise_keys
from trainer.run.ranks import Ranks
from trainer.run.state import Progress, TrainingState
from trainer.run.step import TrainingStep

Train = Callable[..., Result]
CPU = torch.device("cpu")


def step_of(preset: Preset, folder: Path) -> TrainingStep:
    splits = data.load(preset.data, folder / "data", seed=0)
    state = fresh_state(preset, splits, 0, CPU)
    return TrainingStep(state, state.flow, splits.train, preset, "float32", Ranks(CPU))


def do(step: TrainingStep, number: int) -> None:
    rows = torch.arange(step.preset.batch_size)
    step(rows, noise_keys(0, 0, number, len(rows), CPU), number, rate=1e-2)


def everything(state: TrainingState) -> dict[str, torch.Tensor]:
    """All numbers of a state, copied."""
    found = {f"flow/{name}": tensor for name, tensor in state.flow.state_dict().items()}
    assert state.average is not None
    found |= {f"average/{name}": tensor for name, tensor in state.average.state_dict().items()}
    for index, moments in state.optimiser.state_dict()["state"].items():
        found |= {f"{index}/{name}": tensor for name, tensor in moments.items()}
    return {name: tensor.clone() for name, tensor in found.items()}


@pytest.mark.parametrize("muon_rate", [0.0, 0.01])
def test_a_step_without_a_finite_gradient_changes_nothing(
    tiny: Preset, tmp_path: Path, muon_rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_of(replace(tiny, muon_rate=muon_rate), tmp_path)
    do(step, 0)
    before = everything(step.state)
    with monkeypatch.context() as patch:
        patch.setattr("trainer.run.step.dequantise", lambda *arguments: dequantise(*arguments) * torch.nan)
        do(step, 1)
    after = everything(step.state)
    assert [name for name, tensor in before.items() if not after[name].equal(tensor)] == []
    progress = Progress()
    step.report(progress)
    assert (progress.skipped, progress.skipped_in_a_row) == (1, 1)
    do(step, 2)
    moved = everything(step.state)
    still = [name for name in before if moved[name].equal(before[name])]
    assert [name for name in still if not name.endswith(("mean", "step"))] == []


def test_the_count_of_skipped_steps_stays_at_its_limit_until_it_is_read(tiny: Preset, tmp_path: Path) -> None:
    step, progress = step_of(tiny, tmp_path), Progress()
    step.begin(Progress(skipped_in_a_row=step.limit))
    do(step, 0)
    step.report(progress)
    assert progress.skipped_in_a_row > step.limit
    step.begin(Progress(skipped_in_a_row=step.limit - 1))
    do(step, 1)
    step.report(progress)
    assert progress.skipped_in_a_row == 0


def test_a_rehearsed_step_changes_nothing(tiny: Preset, tmp_path: Path) -> None:
    step = step_of(tiny, tmp_path)
    before = everything(step.state)
    step._rehearse(2)
    after = everything(step.state)
    assert all(after[name].equal(tensor) for name, tensor in before.items())


def test_a_graph_that_cannot_be_recorded_is_told_and_the_step_goes_on(
    tiny: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, told = step_of(tiny, tmp_path), list[str]()

    def refused() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(step, "_recorded", refused)
    monkeypatch.setattr(type(step.state.flow), "device", torch.device("cuda"))
    step.prepare(True, told.append)
    monkeypatch.undo()
    assert told == ["the step was not recorded as a CUDA graph: operation not permitted when stream is capturing"]
    do(step, 0)


def test_counters_and_moments_lie_after_a_resume_where_those_of_a_fresh_run_lie(
    tiny: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sluice_train: Train
) -> None:
    conv = replace(
        tiny, name="conv", architecture="glow", arguments={"steps": 1, "hidden": [8], "levels": 1}, channels_last=True
    )
    register(conv, monkeypatch)
    fresh = step_of(conv, tmp_path)
    do(fresh, 0)
    fresh.state.save(tmp_path / "saved", {})
    resumed = step_of(conv, tmp_path).state
    resumed.restore(tmp_path / "saved", {})
    assert all(group["fused"] for group in resumed.optimiser.param_groups)
    parameters = [parameter for group in resumed.optimiser.param_groups for parameter in group["params"]]
    before, after = (state.optimiser.state_dict()["state"] for state in (fresh.state, resumed))
    assert before.keys() == after.keys() == set(range(len(parameters)))
    for index, parameter in enumerate(parameters):
        assert before[index].keys() == after[index].keys()
        for name, tensor in before[index].items():
            found = after[index][name]
            assert found.equal(tensor)
            assert (found.device, found.dtype) == (parameter.device, torch.float32)
            assert found.stride() == tensor.stride(), "a fused kernel goes through memory"


def switches() -> tuple[Any, ...]:
    cudnn = torch.backends.cudnn
    return cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, torch.get_float32_matmul_precision()


def test_float32_means_float32_in_every_phase_of_a_run(
    tiny: Preset, sluice_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, tuple[Any, ...]] = {}
    phases: list[tuple[Any, str]] = [
        (experiment, "fresh_state"),
        (flows, "build"),
        (TrainingStep, "compute"),
        (loop, "log_likelihoods"),
        (export, "log_likelihoods"),
        (export, "calibration_evidence"),
        (export, "measure_bfloat16"),
        (export, "publish"),
    ]

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*arguments: Any, **more: Any) -> Any:
            seen[name] = switches()
            return real(*arguments, **more)

        return watch

    for owner, name in phases:
        label = f"{owner.__name__}.{name}"
        monkeypatch.setattr(owner, name, watched(label, getattr(owner, name)))
    before = switches()
    assert sluice_train("tiny", "--epochs", "1").exit_code == 0
    assert len(seen) == len(phases)
    assert set(seen.values()) == {(False, True, False, "highest")}
    assert switches() == before


def test_half_of_the_images_are_turned_over_and_the_same_ones_each_time() -> None:
    images = torch.randint(0, 256, (400, 4, 6, 3), dtype=torch.uint8)
    keys = noise_keys(1, 0, 0, 400, CPU)
    found = augment(images, keys)
    assert found.equal(augment(images, keys))
    over = (found == images.flip(2)).flatten(1).all(dim=1)
    same = (found == images).flatten(1).all(dim=1)
    assert bool((over | same).all())
    assert 150 < int(over.sum()) < 250
    assert not found.equal(augment(images, noise_keys(1, 0, 1, 400, CPU)))


def test_a_budget_of_time_ends_a_run_with_the_schedule_at_its_end(
    tiny: Preset, sluice_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    clock = count()

    def watch(*arguments: Any) -> float:
        rates.append(learning_rate(*arguments))
        return rates[-1]

    monkeypatch.setattr("trainer.run.loop.learning_rate", watch)
    for module in ("experiment", "length", "loop"):
        monkeypatch.setattr(f"trainer.run.{module}.perf_counter", lambda: next(clock) / 2)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert sluice_train("tiny", "--minutes", "1").exit_code == 130
    assert len(rates) == 3
    result = sluice_train("tiny", "--minutes", "1")
    assert result.exit_code == 0, result.output
    assert "resuming" in result.output
    assert "published tiny-digits@1" in result.output
    assert 40 < len(rates) < 80, "a step takes half a second, and a minute holds the publishing too"
    assert max(rates) > 0.85 * tiny.learning_rate
    assert rates[-1] < 0.03 * tiny.learning_rate
    again = sluice_train("tiny", "--minutes", "1", "--no-publish")
    assert again.exit_code == 0
    assert "validation" not in again.output, "a finished run stays finished"


def test_a_budget_of_time_belongs_to_the_experiment_and_excludes_epochs(tiny: Preset, sluice_train: Train) -> None:
    assert sluice_train("tiny", "--epochs", "1", "--no-publish").exit_code == 0
    other = sluice_train("tiny", "--minutes", "1", "--no-publish")
    assert other.exit_code == 1
    assert "minutes differ" in other.output
    assert sluice_train("tiny", "--minutes", "1", "--epochs", "2").exit_code == 2
