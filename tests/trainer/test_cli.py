"""The command's own manners: lists, toys from end to end, errors without a traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trainer.cli import main
from trainer.preset import Preset
from trainer.presets import PRESETS

Train = Callable[..., Result]


def test_list_names_every_preset_and_what_it_publishes() -> None:
    output = CliRunner().invoke(main, ["--list"], env={"COLUMNS": "120"}).output
    for preset in PRESETS.values():
        assert preset.name in output
        assert preset.model in output


def test_a_toy_goes_from_code_to_a_published_model_with_its_density_drawn(sluice_train: Train, tmp_path: Path) -> None:
    result = sluice_train("moons-nice", "--limit", "2000", "--epochs", "2", "--name", "my-moons")
    assert result.exit_code == 0, result.output
    assert "bits/dim" not in result.output
    version = tmp_path / "store/my-moons/1"
    assert {path.name for path in version.glob("*.png")} == {"density.png", "loss.png", "scores.png"}
    quality = json.loads((version / "manifest.json").read_text())["quality"]["test"]
    assert quality.keys() == {"count", "log_likelihood", "standard_error"}
    assert (version / "README.md").read_text().startswith("# my-moons\n")
    assert json.loads((tmp_path / "store/my-moons/aliases.json").read_text())["default"] == 1


def test_missing_data_is_an_error_that_names_the_file(sluice_train: Train) -> None:
    result = sluice_train("mnist-nice")
    assert result.exit_code == 1
    assert "train-images-idx3-ubyte.gz: missing" in result.output
    assert "Traceback" not in result.output


def test_a_batch_that_the_data_cannot_fill_is_an_error(tiny: Preset, sluice_train: Train) -> None:
    result = sluice_train("tiny", "--limit", "90")
    assert result.exit_code == 1
    assert "do not fill a batch of 90" in result.output


def test_a_name_that_the_store_refuses_is_an_error(tiny: Preset, sluice_train: Train, tmp_path: Path) -> None:
    result = sluice_train("tiny", "--name", "../elsewhere")
    assert result.exit_code == 1
    assert "elsewhere" in result.output
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("arguments", [[], ["no-such-preset"], ["moons-nice", "--epochs", "0"]])
def test_wrong_usage_exits_with_status_two(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_cuda_where_there_is_none_is_an_error(sluice_train: Train) -> None:
    result = sluice_train("moons-nice", "--device", "cuda")
    assert result.exit_code == 1
    assert "no CUDA device" in result.output
