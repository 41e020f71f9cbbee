"""`sluice-train pictures`: what it finds, what it says, what it publishes, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.parts import parts
from flows.anomaly.pictures import read
from model_store import Store
from tests.service.pictures import surface, with_hole
from trainer.pictures import publication
from trainer.run.state import FILE


@pytest.mark.usefixtures("_tiny")
def test_a_folder_becomes_a_model_that_tells_a_faulty_picture(
    folder: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    result = sluice_train("pictures", "--data", str(folder), "--name", "cloth", "--steps", "2", "--device", "cpu")
    assert result.exit_code == 0, result.output
    said = result.output
    assert "good: 33 pictures, grey" in said
    assert "broken.png: is not a readable picture" in said
    assert "no p-value will be below 1 / 34; the smallest usable alpha is 0.0295" in said
    assert "an alpha of 0.01 needs at least 99 pictures" in said
    assert said.index("memory: about") < said.index("mirrored pictures cost") < said.index("fold 1 of 3: 1 steps")
    assert said.index("trial of mirrored and turned pictures: 1 steps") < said.index("crops: ")
    assert "place: nets do not know it" in said
    assert "scenes: each picture shows something else" in said
    assert "published cloth@1" in said
    assert "p-values rest on 33 items; none is below 1 / 34; the smallest usable --alpha is 0.0295" in said

    store = Store(tmp_path / "store")
    model = store.load("cloth", 1)
    assert model.pictures is not None
    assert model.calibration is None
    assert model.manifest.pictures is not None
    assert (model.manifest.pictures.shortest_side, model.manifest.pictures.longest_side) == (20, 33)
    assert model.manifest.pictures.reductions == (1, 1)
    assert model.manifest.pictures.longest == 256, "larger pictures of the surface keep their scale"
    assert model.pictures.size == 33
    faulty, good = (torch.from_numpy(item) for item in (with_hole(surface(1, 5)[0]), surface(1, 6)[0]))
    assert model.pictures.assess(faulty).verdict.p_value < model.pictures.assess(good).verdict.p_value
    card = model.read("README.md").decode()
    assert "sluice-train pictures --data good" in card
    assert "1 / (33 + 1)" in card
    assert str(tmp_path) not in card
    assert {"maps.png", "samples.png", "loss.png"} <= set(model.manifest.files)

    again = sluice_train("pictures", "--data", str(folder), "--name", "cloth", "--steps", "2", "--json")
    assert "trial of mirrored and turned pictures: already trained" in again.stderr
    assert "fold 3 of 3: already trained" in again.stderr
    told = json.loads(again.stdout)
    assert told["published"]["version"] == 2
    first, second = (store.load("cloth", version).flow.state_dict() for version in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("_tiny")
def test_a_budget_of_time_ends_a_run(
    small: Path, sluice_train: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.pictures.budget._MOST", 0.9)  # the machine may be busy
    result = sluice_train("pictures", "--data", str(small), "--minutes", "0.15", "--no-publish")
    assert result.exit_code == 0, result.output
    assert "time: about 0.15 minutes" in result.output
    assert "held out:" in result.output


@pytest.mark.usefixtures("_tiny")
def test_a_budget_too_short_for_the_calibration_is_refused_before_the_training(
    folder: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    result = sluice_train("pictures", "--data", str(folder), "--minutes", "0.0005", "--device", "cpu")
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert "--minutes 0.0005: reading took" in said
    assert "the calibration by 33 pictures takes about" in said
    assert "or more, or a smaller --size (now 33)" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs --data DIR"),
        (["--epochs", "2"], "--epochs is not for pictures"),
        (["--minutes", "1", "--steps", "2"], "exclude each other"),
    ],
)
def test_a_wrong_command_line_is_told(
    folder: Path, sluice_train: Callable[..., Result], arguments: list[str], message: str
) -> None:
    given = ["--data", str(folder)] if arguments else []
    result = sluice_train("pictures", *given, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    other = sluice_train("mnist-nice", "--size", "64")
    assert "--size is for the preset pictures" in " ".join(other.output.split())


def test_too_few_pictures_and_too_many_damaged_files_are_refused(
    folder: Path, sluice_train: Callable[..., Result]
) -> None:
    for number in range(4):
        (folder / f"bad{number}.png").write_bytes(b"no picture")
    damaged = sluice_train("pictures", "--data", str(folder))
    assert damaged.exit_code == 1
    assert "5 of 38 files cannot be used, more than a tenth" in damaged.output
    for path in folder.glob("*.png"):
        path.unlink()
    for path in list(folder.glob("a/*.png"))[:8]:
        path.unlink()
    few = sluice_train("pictures", "--data", str(folder))
    assert few.exit_code == 1
    assert "25 pictures can be used; at least 30 are needed" in few.output


@pytest.mark.usefixtures("_tiny")
def test_of_copies_the_first_alone_counts(folder: Path, sluice_train: Callable[..., Result]) -> None:
    for number in range(12):
        shutil.copy(folder / "a/1.png", folder / f"copy{number:02}.png")
    given = ["--steps", "1", "--no-flip", "--no-turn", "--device", "cpu", "--no-publish"]
    result = sluice_train("pictures", "--data", str(folder), *given)
    assert result.exit_code == 0, result.output
    assert "good: 45 pictures" in result.output
    assert "copies of other pictures, left out: 12" in result.output
    assert "copy00.png is a copy of a/1.png" in result.output
    assert "and 2 more" in result.output
    assert "all 33 pictures calibrate: no p-value will be below 1 / 34" in result.output
    assert "calibration: scoring 33 pictures" in result.output


@pytest.mark.parametrize("distinct", [1, 5, 29])
def test_too_few_distinct_pictures_are_refused_before_any_training(
    folder: Path, sluice_train: Callable[..., Result], distinct: int
) -> None:
    for path in sorted(folder.glob("[ab]/*.png"))[distinct:]:
        shutil.copy(folder / "a/1.png", path)
    result = sluice_train("pictures", "--data", str(folder), "--steps", "1")
    assert result.exit_code == 1
    assert f"{distinct} pictures can be used; at least 30 are needed" in result.output
    assert f"{33 - distinct} more are copies" in result.output
    assert "fold" not in result.output


@pytest.mark.usefixtures("_tiny")
def test_the_command_of_a_card_of_tiny_pictures_can_be_given_again(
    small: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    result = sluice_train("pictures", "--data", str(small), "--steps", "1", "--no-flip", "--no-turn")
    assert result.exit_code == 0, result.output
    assert "--size 256 " in Store(tmp_path / "store").load("small", 1).read("README.md").decode()


@pytest.mark.usefixtures("_tiny")
def test_a_picture_smaller_than_a_crop_calibrates(folder: Path, sluice_train: Callable[..., Result]) -> None:
    Image.fromarray(surface(1, 9)[0][:12, :12]).save(folder / "small.png")
    result = sluice_train("pictures", "--data", str(folder), "--steps", "1", "--no-publish", "--crop", "16", "--flip")
    assert result.exit_code == 0, result.output
    assert "calibration: scoring 34 pictures" in result.output
    assert "crops of 16x16" in result.output
    assert "pictures smaller than a crop: 1;" in result.output


@pytest.mark.usefixtures("_tiny")
def test_scenes_that_several_pictures_show_are_told_and_kept_together(
    folder: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    for number, item in enumerate(surface(12)):  # frames of the first twelve, a pixel on
        Image.fromarray(item[1:, 1:]).save(folder / f"next-{number}.png")
    given = ["pictures", "--data", str(folder), "--steps", "1", "--name", "film", "--flip", "--no-turn"]
    result = sluice_train(*given)
    assert result.exit_code == 0, result.output
    assert "scenes: 24 of 45 pictures show in part what others show" in result.output
    assert "33 scenes in all. Scenes stay together, so p-values are for new scenes too" in result.output
    assert result.output.endswith("for new scenes, at an --alpha of 0.0295 or more\n")
    card = Store(tmp_path / "store").load("film", 1).read("README.md").decode()
    assert "Scenes: 24 of 45 pictures show in part" in card
    assert "from another experiment (scenes differ)" in sluice_train(*given, "--known-scenes").output
    known = sluice_train(*given, "--known-scenes", "--fresh")
    assert known.exit_code == 0, known.output
    assert "33 scenes in all. p-values are for new pictures of these scenes; those of other scenes may" in known.output
    assert "--known-scenes --seed 0" in Store(tmp_path / "store").load("film", 2).read("README.md").decode()

    for number in range(60):
        Image.fromarray(surface(1)[0][number % 6 :, number // 6 :]).save(folder / f"again-{number}.png")
    large = sluice_train(*given, "--no-publish", "--fresh")
    assert large.exit_code == 0, large.output
    assert "Scenes stay together, but the largest has 60 pictures and is cut" in large.output
    assert "for new scenes" not in large.output


@pytest.mark.usefixtures("_tiny")
def test_aligned_parts_become_a_model_that_knows_the_place(tmp_path: Path, sluice_train: Callable[..., Result]) -> None:
    good = tmp_path / "parts"
    good.mkdir()
    for number, item in enumerate(parts(32, 30, seed=0)):
        Image.fromarray(item.numpy()).save(good / f"{number}.png")
    result = sluice_train("pictures", "--data", str(good), "--steps", "8", "--device", "cpu", "--crop", "24", "--flip")
    assert result.exit_code == 0, result.output
    assert "place: the pictures are aligned" in result.output
    assert "crops: mirrored, since the place matters" in result.output
    assert "crops of 24x24" in result.output
    model = Store(tmp_path / "store").load("parts", 1)
    assert model.pictures is not None
    assert model.manifest.pictures is not None
    assert model.manifest.pictures.longest == 32, "larger pictures of aligned parts are brought to their size"
    card = model.read("README.md").decode()
    assert "Crops are taken mirrored" in card
    assert "Nets are told what is usual at each place" in card
    template = model.pictures.densities[1].template
    assert template is not None
    assert template.shape == (32, 32)
    picture = parts(32, 1, seed=5)[0]
    told = model.pictures.log_densities(picture)
    model.pictures.densities[1].template = None
    assert not torch.equal(told[1], model.pictures.log_densities(picture)[1])


@pytest.mark.usefixtures("_tiny")
def test_wishes_are_taken_without_a_trial(folder: Path, sluice_train: Callable[..., Result]) -> None:
    given = ["pictures", "--data", str(folder), "--steps", "1", "--no-publish", "--no-flip", "--turn"]
    result = sluice_train(*given)
    assert result.exit_code == 0, result.output
    assert "trial" not in result.output
    for crop in ("12", "24"):
        refused = sluice_train(*given, "--crop", crop)
        assert refused.exit_code == 1
        told = " ".join(refused.output.split())
        assert (
            f"multiple of 8 and at most 20, so that at most a twentieth of the pictures are smaller, got {crop}" in told
        )


@pytest.mark.usefixtures("_tiny")
def test_a_fresh_start_removes_states_and_no_file_of_the_user(
    small: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    own = tmp_path / "run/fold-1"
    own.parent.mkdir()
    small.rename(own)
    files = sorted(own.rglob("*"))
    given = ["pictures", "--data", str(own), "--steps", "1", "--no-publish", "--no-flip", "--no-turn"]
    for _ in range(2):
        result = sluice_train(*given, "--fresh")
        assert result.exit_code == 0, result.output
        assert "already trained" not in result.output
    assert sorted(own.rglob("*")) == sorted([*files, own / FILE])
    (tmp_path / "run/fold-2" / FILE).unlink()
    (tmp_path / "run/fold-2" / FILE).mkdir()
    kept = sluice_train(*given, "--fresh")
    assert kept.exit_code == 1
    assert "the state of the run cannot be removed" in " ".join(kept.output.split())


def test_a_name_that_no_model_can_have_is_refused_before_anything_is_read(
    tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    refused = sluice_train("pictures", "--data", str(tmp_path), "--name", "My_Part v1")
    assert refused.exit_code == 1
    assert "'My_Part v1' cannot name a model" in refused.output
    assert (
        "holds no pictures" in sluice_train("pictures", "--data", str(tmp_path), "--no-publish", "--name", "A").output
    )


@pytest.mark.usefixtures("_tiny")
def test_names_of_files_that_are_not_utf_8_are_published_as_far_as_they_can_be_read(
    small: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    (small / os.fsdecode(b"caf\xe9.png")).write_bytes(b"no picture")
    own = small.rename(tmp_path / os.fsdecode(b"th\xe9"))
    given = ["--steps", "1", "--no-flip", "--no-turn", "--device", "cpu"]
    result = sluice_train("pictures", "--data", str(own), *given, "--name", "tea")
    assert result.exit_code == 0, result.output
    assert "caf\N{REPLACEMENT CHARACTER}.png: is not a readable picture" in result.output
    model = Store(tmp_path / "store").load("tea", 1)
    card = model.read("README.md").decode()
    assert "caf\N{REPLACEMENT CHARACTER}.png" in card
    assert "pictures of th\N{REPLACEMENT CHARACTER}." in card


@pytest.mark.usefixtures("_tiny")
def test_a_stop_during_the_calibration_ends_the_run_and_keeps_its_flows(
    small: Path, tmp_path: Path, sluice_train: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = []

    def read_and_stop(*arguments: Any) -> torch.Tensor:
        readings.append(read(*arguments))
        if len(readings) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return readings[-1]

    monkeypatch.setattr(publication, "read", read_and_stop)
    given = ["pictures", "--data", str(small), "--steps", "1"]
    stopped = sluice_train(*given)
    assert stopped.exit_code == 128 + signal.SIGTERM
    assert "calibration: scoring 30 pictures" in stopped.output
    assert "stopped; flows that are finished are saved" in stopped.output
    assert not (tmp_path / "store/small").exists()
    assert len(readings) == 1, "at once, not after all pictures"
    again = sluice_train(*given)
    assert again.exit_code == 0, again.output
    assert again.output.count("already trained") == 4


@pytest.mark.usefixtures("_tiny")
def test_flows_of_other_crops_are_not_taken(small: Path, tmp_path: Path, sluice_train: Callable[..., Result]) -> None:
    given = ["pictures", "--data", str(small), "--steps", "1", "--no-publish"]
    assert sluice_train(*given, "--flip", "--turn").exit_code == 0
    refused = sluice_train(*given, "--no-flip", "--no-turn")
    assert refused.exit_code == 1
    assert "from another experiment (flip, turn differ)" in " ".join(refused.output.split())

    assert sluice_train(*given, "--no-flip", "--no-turn", "--fresh").exit_code == 0
    for fold in (1, 2, 3):  # as they were saved before the keys were always there
        path = tmp_path / f"run/fold-{fold}" / FILE
        with safe_open(path, "pt") as file:
            header = file.metadata()
        experiment = json.loads(header["experiment"])
        del experiment["flip"], experiment["turn"]
        save_file(load_file(path), path, header | {"experiment": json.dumps(experiment)})
    again = sluice_train(*given, "--no-flip", "--no-turn")
    assert again.exit_code == 0, again.output
    assert again.output.count("already trained") == 3


@pytest.mark.usefixtures("_tiny")
def test_a_store_that_cannot_be_written_is_told_before_the_training(
    folder: Path, tmp_path: Path, sluice_train: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)  # the store is not there yet
    result = sluice_train("pictures", "--data", str(folder), "--steps", "2")
    assert result.exit_code == 1
    assert f"{tmp_path} cannot be written: Permission denied" in result.output.replace("\n", "")
    assert "steps" not in result.output


@pytest.mark.parametrize(
    "option", [("--label", "x"), ("--kind", "a=category"), ("--tensorboard",), ("--no-neighbours",)]
)
def test_what_is_not_for_pictures_is_refused_by_its_own_name(
    folder: Path, sluice_train: Callable[..., Result], option: tuple[str, ...]
) -> None:
    result = sluice_train("pictures", "--data", str(folder), *option)
    assert result.exit_code == 2
    assert f"{option[0]} is not for pictures" in result.output


@pytest.mark.parametrize("minutes", ["nan", "inf", "-1"])
def test_minutes_that_never_end_are_refused(folder: Path, sluice_train: Callable[..., Result], minutes: str) -> None:
    result = sluice_train("pictures", "--data", str(folder), "--minutes", minutes)
    assert result.exit_code == 2
    assert "--minutes" in result.output
