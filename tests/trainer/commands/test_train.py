"""The command sluice-train: the list, toys and own data from end to end, errors without a traceback."""

import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.trainer.conftest import stop_after
from trainer.commands.train import main
from trainer.presets import PRESETS, Preset
from trainer.run.run_directory import run_directory

Train = Callable[..., Result]


def test_list_names_every_preset_and_what_it_publishes() -> None:
    output = CliRunner().invoke(main, ["--list"], env={"COLUMNS": "20"}).output  # no name is cut, however narrow
    for preset in PRESETS.values():
        assert preset.name in output
        assert preset.model in output
        assert preset.data.title in output
    listed = json.loads(CliRunner().invoke(main, ["--list", "--json"]).output)
    assert [entry["preset"] for entry in listed] == list(PRESETS)


def test_a_toy_is_trained_and_published_with_its_density_drawn(sluice_train: Train, tmp_path: Path) -> None:
    result = sluice_train("moons-nice", "--limit", "2000", "--epochs", "2", "--name", "my-moons")
    assert result.exit_code == 0, result.output
    assert "bits/dim" not in result.output
    version = tmp_path / "store/my-moons/1"
    drawn = {"calibration.png", "density.png", "latents.png", "loss.png", "scores.png"}
    assert {path.name for path in version.glob("*.png")} == drawn
    assert (tmp_path / "run" / "density.png").read_bytes().startswith(b"\x89PNG")
    quality = json.loads((version / "manifest.json").read_text())["quality"]["test"]
    assert quality.keys() == {"count", "log_likelihood", "standard_error"}
    assert (version / "README.md").read_text().startswith("# my-moons\n")
    assert json.loads((tmp_path / "store/my-moons/aliases.json").read_text())["default"] == 1


def test_the_users_table_is_published_under_its_files_name_in_its_own_units(
    sluice_train: Train, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    height = 1.7 + 0.1 * random.standard_normal(600)
    weight = 22e3 * height**2 + 2e3 * random.standard_normal(600)
    lines = [f"{h},{w}" for h, w in zip(height, weight, strict=True)]
    (tmp_path / "Body sizes.csv").write_text("\n".join(["height m,weight g", *lines]))
    result = sluice_train(
        "table-nice", "--data", str(tmp_path / "Body sizes.csv"), "--epochs", "8", "--batch-size", "50"
    )
    assert result.exit_code == 0, result.output
    version = tmp_path / "store/body-sizes/1"
    card = (version / "README.md").read_text()
    assert "- `height m`: continuous, " in card
    assert "- `weight g`: continuous, " in card
    manifest = json.loads((version / "manifest.json").read_text())
    command = "sluice-train table-nice --data 'Body sizes.csv' --epochs 8 --batch-size 50 --seed 0 --precision float32"
    assert manifest["provenance"]["command"] == command
    assert str(tmp_path) not in json.dumps(manifest) + card
    # The figure of independent normal distributions of both columns, each in its own units.
    independent = -(np.log(2 * np.pi * np.e) + np.log(height.std()) + np.log(weight.std()))
    assert manifest["quality"]["test"]["log_likelihood"] == pytest.approx(independent, abs=1.5)


def test_a_table_that_counts_in_millions_passes_the_self_test(sluice_train: Train, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "t.npy", 1e6 * random.standard_normal((400, 3)) + [0.0, 3e6, -7e6])
    result = sluice_train("table-nice", "--data", str(tmp_path / "t.npy"), "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert "published t@1" in result.output


def test_the_users_pictures_are_published(sluice_train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(200):
        Image.fromarray(random.integers(0, 256, (6, 5), np.uint8)).save(folder / f"{number}.png")
    result = sluice_train("images-nice", "--data", str(folder), "--epochs", "1", "--name", "my-faces")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "store/my-faces/1/manifest.json").read_text())["item"]["shape"] == [6, 5]


@pytest.mark.parametrize("sides", [(12, 20), (6, 6)])
def test_pictures_that_are_not_square_or_small_are_published_with_their_detection(
    sluice_train: Train, tmp_path: Path, sides: tuple[int, int]
) -> None:
    np.save(tmp_path / "own.npy", np.random.default_rng(0).integers(0, 256, (1200, *sides), np.uint8))
    result = sluice_train("images-nice", "--data", str(tmp_path / "own.npy"), "--epochs", "1")
    assert result.exit_code == 0, result.output
    note = json.loads((tmp_path / "store/own/1/manifest.json").read_text())["calibration"]
    assert ("turned by 180 degrees" in note["detection"]) == (sides[0] != sides[1])
    assert ("turned by 90 degrees" in note["detection"]) == (sides[0] == sides[1])


def test_a_budget_that_is_over_before_the_first_step_still_ends_in_a_model(
    tiny: Preset, sluice_train: Train, tmp_path: Path
) -> None:
    result = sluice_train("tiny", "--minutes", "0.00001")
    assert result.exit_code == 0, result.output
    assert "published tiny-digits@1" in result.output
    assert json.loads((tmp_path / "store/tiny-digits/1/manifest.json").read_text())["provenance"]["epochs"] == 1
    assert "published already, as tiny-digits@1" in sluice_train("tiny", "--minutes", "0.00001").output


def test_a_state_of_other_data_under_the_same_name_is_not_resumed(sluice_train: Train, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arguments = ("table-nice", "--data", str(tmp_path / "t.npy"), "--epochs", "1", "--no-publish")
    for expected in (0, 1):
        np.save(tmp_path / "t.npy", random.standard_normal((300, 3)))
        result = sluice_train(*arguments)
        assert result.exit_code == expected
    assert "another experiment (data differ)" in result.output


@pytest.mark.parametrize(
    ("preset", "reason"),
    [
        ("images-nice", "t: holds vectors, and images-nice is a flow of images"),
        ("tiny", "t: holds vectors, and tiny is a flow of images"),
    ],
)
def test_data_of_another_kind_than_the_preset_is_an_error(
    tiny: Preset, sluice_train: Train, tmp_path: Path, preset: str, reason: str
) -> None:
    np.save(tmp_path / "t.npy", np.random.default_rng(0).standard_normal((300, 3)))
    result = sluice_train(preset, "--data", str(tmp_path / "t.npy"))
    assert result.exit_code == 1
    assert reason in result.output


def test_a_preset_for_own_data_needs_them(sluice_train: Train) -> None:
    result = sluice_train("table-nice")
    assert result.exit_code == 1
    assert "this preset needs --data PATH" in result.output


def test_missing_data_is_an_error_that_names_the_file(sluice_train: Train) -> None:
    result = sluice_train("mnist-nice")
    assert result.exit_code == 1
    assert "train-images-idx3-ubyte.gz: missing" in result.output
    assert "Traceback" not in result.output


def test_a_batch_that_the_data_cannot_fill_is_an_error(tiny: Preset, sluice_train: Train) -> None:
    result = sluice_train("tiny", "--limit", "90")
    assert result.exit_code == 1
    assert "do not fill a batch of 90" in result.output


def test_a_name_that_the_store_refuses_is_an_error_before_the_training(
    tiny: Preset, sluice_train: Train, tmp_path: Path
) -> None:
    result = sluice_train("tiny", "--name", "../elsewhere")
    assert result.exit_code == 1
    assert "elsewhere" in result.output
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [[], ["no-such-preset"], ["moons-nice", "--epochs", "0"]])
def test_wrong_usage_exits_with_status_two(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_cuda_where_there_is_none_is_an_error(sluice_train: Train) -> None:
    result = sluice_train("moons-nice", "--device", "cuda")
    assert result.exit_code == 1
    assert "no CUDA device" in result.output


def test_a_run_directory_belongs_to_one_run_at_a_time(tiny: Preset, sluice_train: Train, tmp_path: Path) -> None:
    with run_directory(tmp_path / "run"):
        refused = sluice_train("tiny")
    assert refused.exit_code == 1
    assert "another run writes its state there" in " ".join(refused.output.split())
    assert sluice_train("tiny").exit_code == 0


def test_a_finished_run_is_not_published_twice(tiny: Preset, sluice_train: Train, tmp_path: Path) -> None:
    assert "published tiny-digits@1" in sluice_train("tiny").output
    again = sluice_train("tiny")
    assert again.exit_code == 0, again.output
    assert "published already, as tiny-digits@1" in again.output
    assert {path.name for path in (tmp_path / "store/tiny-digits").iterdir()} == {"1", "aliases.json"}
    assert "published other@1" in sluice_train("tiny", "--name", "other").output
    assert "published tiny-digits@2" in sluice_train("tiny", "--fresh", "--seed", "1").output


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="files are limited by the system")
def test_a_full_disk_is_told_in_one_line_and_the_run_goes_on_once_there_is_room(
    tiny: Preset, sluice_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        assert "stopped and saved" in sluice_train("tiny").output
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # no file grows beyond this: writing fails
    try:
        result = sluice_train("tiny")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert "cannot be written" in line
    assert "make room" in line
    assert "Traceback" not in result.output
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["state.safetensors"]
    result = sluice_train("tiny")
    assert "after epoch 0, step 4" in result.output.replace("\n", " ")
    assert "published tiny-digits@1" in result.output
    (tmp_path / "store").rename(tmp_path / "gone")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        result = sluice_train("tiny")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 1
    assert "make room" in result.output
    assert "Traceback" not in result.output
    assert not list((tmp_path / "store").glob("*/*")), "nothing half-written is left"
    assert "published tiny-digits@1" in sluice_train("tiny").output
