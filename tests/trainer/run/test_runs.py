"""Complete runs through the command: learning, publishing, stopping, resuming."""

import errno
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result

from model_store import Store
from tests.trainer.conftest import read_state, register, stop_after
from trainer.optimisers import FusedAdamW, learning_rate
from trainer.presets import Preset
from trainer.run.randomness import dequantise
from trainer.run.state import TrainingState
from trainer.run.stopping import StopRequest

Train = Callable[..., Result]
BIAS = "transforms.steps.2.net.layers.2.bias"


def test_training_raises_the_held_out_likelihood_and_publishes_what_was_measured(
    tiny: Preset, sluice_train: Train, tmp_path: Path
) -> None:
    result = sluice_train("tiny", "--epochs", "4", "--precision", "float32")
    assert result.exit_code == 0, result.output
    validation = [float(line.split("validation ")[1].split()[0]) for line in result.output.splitlines()[:5]]
    assert validation == sorted(validation)
    assert validation[-1] > validation[0] + 10

    manifest = json.loads((tmp_path / "store/tiny-digits/1/manifest.json").read_text())
    assert manifest["architecture"] == {"name": "nice", "arguments": {"couplings": 2, "hidden": [32]}}
    assert manifest["quality"]["test"]["count"] == 500
    assert manifest["quality"]["samples"]["count"] == 500
    assert f"test: {manifest['quality']['test']['log_likelihood']:.2f}" in result.output
    assert manifest["provenance"]["command"] == "sluice-train tiny --epochs 4 --seed 0 --precision float32"
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_published_model_serves_the_figure_in_its_card(tiny: Preset, sluice_train: Train, tmp_path: Path) -> None:
    assert sluice_train("tiny").exit_code == 0
    loaded = Store(tmp_path / "store").load("tiny-digits", 1)
    _, test = tiny.data.read(tmp_path / "data")
    with torch.no_grad():
        served = float(loaded.flow.log_prob(loaded.flow.to_continuous(test)).double().mean())
    stated = loaded.manifest.quality["test"]["log_likelihood"]
    assert served == pytest.approx(stated, abs=1e-2)
    assert loaded.calibration is not None
    assert loaded.calibration.size == 67
    version = tmp_path / "store/tiny-digits/1"
    assert f"{stated:.2f} nats" in (version / "README.md").read_text()
    card = (version / "README.md").read_text()
    drawn = ("samples.png", "samples-full.png", "loss.png", "scores.png", "latents.png", "calibration.png", "map.png")
    for picture in drawn:
        assert (version / picture).read_bytes().startswith(b"\x89PNG")
        assert f"]({picture})" in card
    detected = loaded.manifest.calibration
    assert detected is not None
    for name, figures in detected.detection.items():
        assert f"| {name} | {figures['auroc']:.3f} | {figures['fpr_at_95_tpr']:.3f} |" in card
    assert (tmp_path / "run" / "samples.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("stop_at", [4, 10, 17], ids=["mid-epoch", "at an epoch's end", "in the second epoch"])
def test_a_stopped_and_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    assert sluice_train("tiny", "--no-publish").exit_code == 0
    straight = read_state(tmp_path / "run")

    with monkeypatch.context() as patch:
        stop_after(patch, stop_at)
        stopped = sluice_train("tiny", "--no-publish", "--fresh")
    assert stopped.exit_code == 130
    assert "stopped and saved" in stopped.output
    halfway = read_state(tmp_path / "run")
    assert not all(halfway[name].equal(tensor) for name, tensor in straight.items() if name in halfway)

    resumed = sluice_train("tiny", "--no-publish")
    assert resumed.exit_code == 0
    assert "resuming" in resumed.output
    final = read_state(tmp_path / "run")
    assert final.keys() == straight.keys()
    assert all(final[name].equal(tensor) for name, tensor in straight.items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_convolutional_flow_in_channels_last_is_resumed_bit_for_bit_and_published(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    conv = replace(
        tiny,
        name="conv",
        architecture="glow",
        arguments={"steps": 2, "hidden": [8, 8], "levels": 1},
        channels_last=True,
        learning_rate=3e-3,
        patience=5,
    )
    register(conv, monkeypatch)
    arguments = ("conv", "--limit", "400", "--precision", precision)
    straight = sluice_train(*arguments)
    assert straight.exit_code == 0, straight.output
    weights = read_state(tmp_path / "run")
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        assert sluice_train(*arguments, "--fresh").exit_code == 130
    assert sluice_train(*arguments, "--no-publish").exit_code == 0
    assert all(tensor.equal(weights[name]) for name, tensor in read_state(tmp_path / "run").items())
    assert {name.split("/")[0] for name in weights} == {"average", "best", "flow", "optimiser"}


def test_a_finished_run_is_published_without_training_again(tiny: Preset, sluice_train: Train, tmp_path: Path) -> None:
    assert sluice_train("tiny", "--no-publish").exit_code == 0
    assert not (tmp_path / "store").exists()
    again = sluice_train("tiny")
    assert again.exit_code == 0
    assert "epoch 1/" not in again.output
    assert "published tiny-digits@1" in again.output


def test_a_model_names_the_device_of_its_training_wherever_it_is_published(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("trainer.run.loop.device_name", lambda _: "NVIDIA H200")
        assert sluice_train("tiny", "--no-publish").exit_code == 0
    assert sluice_train("tiny").exit_code == 0
    manifest = json.loads((tmp_path / "store/tiny-digits/1/manifest.json").read_text())
    assert manifest["provenance"]["device"] == "NVIDIA H200"


def test_the_seed_decides_the_weights(tiny: Preset, sluice_train: Train, tmp_path: Path) -> None:
    weights = []
    for seed in ("1", "1", "2"):
        assert sluice_train("tiny", "--no-publish", "--fresh", "--epochs", "1", "--seed", seed).exit_code == 0
        weights.append(read_state(tmp_path / "run")["flow/transforms.steps.2.net.layers.0.weight"])
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


@pytest.mark.parametrize("change", [["--seed", "1"], ["--epochs", "3"], ["--limit", "900"]])
def test_the_state_of_another_experiment_is_not_resumed(tiny: Preset, sluice_train: Train, change: list[str]) -> None:
    assert sluice_train("tiny", "--no-publish", "--epochs", "1").exit_code == 0
    refused = sluice_train("tiny", "--no-publish", *change)
    assert refused.exit_code == 1
    assert "another experiment" in refused.output
    assert "--fresh" in refused.output


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b"", lambda b: b"\x80\x04pickle" + b[9:]])
def test_a_damaged_state_is_refused_and_fresh_gets_past_it(
    tiny: Preset, sluice_train: Train, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    assert sluice_train("tiny", "--no-publish", "--epochs", "1").exit_code == 0
    path = tmp_path / "run/state.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    refused = sluice_train("tiny", "--no-publish", "--epochs", "1")
    assert refused.exit_code == 1
    assert "not the state of a run" in refused.output
    assert sluice_train("tiny", "--no-publish", "--epochs", "1", "--fresh").exit_code == 0


def test_sigterm_stops_like_ctrl_c_with_its_own_exit_status(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 3, signal.SIGTERM)
    assert sluice_train("tiny").exit_code == 143
    assert (tmp_path / "run/state.safetensors").exists()
    assert not (tmp_path / "store").exists()


def test_a_second_ctrl_c_stops_at_once() -> None:
    request = StopRequest()
    request.receive(signal.SIGINT, None)
    assert request()
    with pytest.raises(KeyboardInterrupt):
        request.receive(signal.SIGINT, None)


def _spoil_gradients(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Make the gradient NaN in those steps."""
    from trainer.run import step

    calls = iter(range(10**6))

    def spoiled(*arguments: Any) -> torch.Tensor:
        x = dequantise(*arguments)
        return x * float("nan") if next(calls) in steps else x

    monkeypatch.setattr(step, "dequantise", spoiled)


@pytest.mark.usefixtures("tiny")
def test_a_run_directory_that_cannot_be_written_is_told_before_the_training(
    sluice_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("trainer.run.run_directory.TemporaryFile", full)
    result = sluice_train("tiny")
    assert result.exit_code == 1
    assert "the state of the run cannot be written there" in " ".join(result.output.split())
    assert "epoch" not in result.output


@pytest.mark.usefixtures("tiny")
def test_a_store_that_cannot_be_written_is_told_before_the_training(
    sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store/tiny-digits").mkdir(parents=True)
    monkeypatch.setattr("os.access", lambda path, _: not str(path).endswith("tiny-digits"))
    result = sluice_train("tiny")
    assert result.exit_code == 1
    assert "tiny-digits cannot be written: Permission denied" in " ".join(result.output.split())
    assert "epoch" not in result.output


def test_a_step_that_is_not_finite_is_skipped_and_counted(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil_gradients(monkeypatch, {2, 3})
    result = sluice_train("tiny")
    assert result.exit_code == 0
    assert "2 non-finite steps skipped" in result.output
    assert all(tensor.isfinite().all() for tensor in read_state(tmp_path / "run").values())
    assert json.loads((tmp_path / "store/tiny-digits/1/manifest.json").read_text())["provenance"]["skipped_steps"] == 2


def test_an_epoch_without_a_finite_step_ends_the_run(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil_gradients(monkeypatch, set(range(10)))
    result = sluice_train("tiny")
    assert result.exit_code == 1
    assert "10 steps in a row had no finite gradient, up to step 10 of epoch 1" in result.output
    assert not (tmp_path / "store").exists()


def test_skipped_steps_in_a_row_are_counted_across_epochs_and_end_the_run(
    tiny: Preset, sluice_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil_gradients(monkeypatch, set(range(5, 15)))
    result = sluice_train("tiny")
    assert result.exit_code == 1
    assert "10 steps in a row had no finite gradient, up to step 5 of epoch 2" in result.output


def test_a_finite_step_resets_the_count_of_skipped_steps_in_a_row(
    tiny: Preset, sluice_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil_gradients(monkeypatch, set(range(20)) - {4, 13})
    assert sluice_train("tiny", "--no-publish").exit_code == 0


def test_the_kept_weights_are_the_moving_average_of_all_steps(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sluice_train("tiny", "--epochs", "1", "--no-publish").exit_code == 0
    run = read_state(tmp_path / "run")

    seen: list[torch.Tensor] = []
    real = TrainingState.update_average

    def watch(self: TrainingState, share: torch.Tensor) -> None:
        seen.append(self.flow.state_dict()[BIAS].clone())
        real(self, share)

    monkeypatch.setattr(TrainingState, "update_average", watch)
    assert sluice_train("tiny", "--epochs", "1", "--no-publish", "--fresh").exit_code == 0
    average = torch.zeros_like(seen[0])  # the biases start at zero
    for step, weights in enumerate(seen):
        decay = min(tiny.ema_decay, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weights
    assert len(seen) == 10
    torch.testing.assert_close(run[f"best/{BIAS}"], average, atol=1e-7, rtol=1e-5)
    assert run[f"average/{BIAS}"].equal(run[f"best/{BIAS}"])
    assert not run[f"flow/{BIAS}"].equal(run[f"best/{BIAS}"])


@pytest.mark.parametrize("stop_at", [None, 27])
def test_a_run_out_of_patience_ends_and_keeps_its_best_epoch(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int | None
) -> None:
    # The weights do not move, so no epoch is better than the first, nor the first than the initial state.
    still = replace(tiny, name="still", epochs=9, learning_rate=0.0, patience=2)
    register(still, monkeypatch)
    if stop_at:
        with monkeypatch.context() as patch:
            stop_after(patch, stop_at)
            assert sluice_train("still").exit_code == 130
    result = sluice_train("still")
    assert result.exit_code == 0, result.output
    provenance = json.loads((tmp_path / "store/tiny-digits/1/manifest.json").read_text())["provenance"]
    assert (provenance["kept_epoch"], provenance["epochs"]) == (0, 3)
    kept = "stopped early: no better validation in 2 epochs, the initial state is kept"
    assert kept in result.output
    assert kept in sluice_train("still", "--no-publish").output, "a finished run stays finished"


def test_a_run_whose_rate_is_constant_at_first_may_be_resumed_with_another_length(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(replace(tiny, name="open", decay_share=0.25, epochs=50), monkeypatch)
    for arguments in (("open",), ("tiny",)):
        with monkeypatch.context() as patch:
            stop_after(patch, 15)
            assert sluice_train(*arguments, "--fresh").exit_code == 130
        if arguments == ("open",):
            ended = sluice_train("open", "--epochs", "3")
            assert ended.exit_code == 0, ended.output
            assert "resuming" in ended.output
            assert ended.output.count("validation") == 2
            manifest = json.loads((tmp_path / "store/tiny-digits/1/manifest.json").read_text())
            assert manifest["provenance"]["command"] == "sluice-train open --epochs 3 --seed 0 --precision auto"
            card = (tmp_path / "store/tiny-digits/1/README.md").read_text()
            assert "falling over the last 25 % of the run to" in card
            straight = sluice_train("open", "--epochs", "3", "--fresh", "--no-publish")
            assert straight.output.splitlines()[-1] == ended.output[ended.output.index("test:") :].splitlines()[0]
    refused = sluice_train("tiny", "--epochs", "3")
    assert refused.exit_code == 1
    assert "epochs differ" in refused.output, "with a cosine every step depends on the length"


def test_a_long_epoch_is_saved_before_it_ends(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sluice_train("tiny", "--no-publish").exit_code == 0
    straight = read_state(tmp_path / "run")
    monkeypatch.setattr("trainer.run.loop.SAVE_EVERY", 0.0)
    saves = []
    real = TrainingState.save

    def killed(self: TrainingState, directory: Path, experiment: dict[str, Any], launch: str | None) -> None:
        real(self, directory, experiment, launch)
        saves.append(self.progress.step)
        if len(saves) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "save", killed)
        assert sluice_train("tiny", "--no-publish", "--fresh").exit_code != 0
    assert saves == [1, 2, 3, 4]
    resumed = sluice_train("tiny", "--no-publish")
    assert "after epoch 0, step 4" in resumed.output
    final = read_state(tmp_path / "run")
    assert all(final[name].equal(tensor) for name, tensor in straight.items())


def test_the_optimiser_gets_the_scheduled_rate_in_every_step(
    tiny: Preset, sluice_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    real = torch.optim.AdamW.step

    def watch(self: FusedAdamW) -> None:
        rates.append(self.param_groups[0]["lr"])
        real(self)

    monkeypatch.setattr(FusedAdamW, "step", watch)
    assert sluice_train("tiny", "--no-publish").exit_code == 0
    assert rates == [learning_rate(tiny, step, step / 20) for step in range(20)]
