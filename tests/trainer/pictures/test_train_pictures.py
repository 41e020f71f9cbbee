"""`sluice-train pictures`: what it finds, what it says, what it publishes, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.parts import parts
from model_store import Store
from pictures import Preparation
from tests.service.pictures import surface, with_hole
from trainer.data import picture_folder
from trainer.errors import DataError
from trainer.pictures.alignment import aligned, place_matters
from trainer.pictures.budget import kept_seconds, told_of_kept
from trainer.pictures.crops import Augmentation, cut
from trainer.pictures.folds import dealt, trained_on
from trainer.pictures.plan import FOLDS, PicturePlan, default_minutes, planned
from trainer.pictures.templates import LONGEST, fitted, template_of, templates_by_half
from trainer.pictures.trial import Difference
from trainer.presets.pictures import PICTURES
from trainer.run.state import FILE

TINY = {"width": 4, "blocks": 1, "components": 2, "joint": True, "anywhere": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty-three grey pictures of several sizes in two folders, one damaged file, and a file that is no picture."""
    for number, item in enumerate(surface(33)):
        path = tmp_path / "good" / ("a" if number % 2 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(path)
    (tmp_path / "good/broken.png").write_bytes((tmp_path / "good/a/1.png").read_bytes()[:200])
    (tmp_path / "good/notes.txt").write_text("taken on Tuesday")
    return tmp_path / "good"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Thirty grey pictures of 12x12."""
    (tmp_path / "small").mkdir()
    for number, item in enumerate(surface(30)):
        Image.fromarray(item[:12, :12]).save(tmp_path / f"small/{number}.png")
    return tmp_path / "small"


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.commands.train_pictures.PICTURES", replace(PICTURES, arguments=TINY, batch_size=4))
    monkeypatch.setattr("trainer.pictures.folds._CHECKED", 4)


@pytest.mark.usefixtures("_tiny")
def test_a_folder_becomes_a_model_that_tells_a_faulty_picture(
    folder: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    result = sluice_train("pictures", "--data", str(folder), "--name", "cloth", "--steps", "2", "--device", "cpu")
    assert result.exit_code == 0, result.output
    said = result.output
    assert "good: 33 pictures, grey" in said
    assert "broken.png: is not a readable picture" in said
    assert "no p-value will be below 1 / 34 = 0.029" in said
    assert "an alpha of 0.01 needs at least 99 pictures" in said
    assert said.index("memory: about") < said.index("mirrored pictures cost") < said.index("fold 1 of 3: 1 steps")
    assert said.index("trial of mirrored and turned pictures: 1 steps") < said.index("crops: ")
    assert "place: nets do not know it" in said
    assert "published cloth@1" in said
    assert "p-values rest on 33 items; none is below 0.0294" in said

    store = Store(tmp_path / "store")
    model = store.load("cloth", 1)
    assert model.pictures is not None
    assert model.calibration is None
    assert model.manifest.pictures is not None
    assert (model.manifest.pictures.shortest_side, model.manifest.pictures.longest_side) == (20, 33)
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
    result = sluice_train("pictures", "--data", str(small), "--minutes", "0.05", "--no-publish")
    assert result.exit_code == 0, result.output
    assert "time: about 0.05 minutes" in result.output
    assert "held out:" in result.output


@pytest.mark.usefixtures("_tiny")
def test_a_budget_too_short_for_the_calibration_is_refused_before_the_training(
    folder: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    result = sluice_train("pictures", "--data", str(folder), "--minutes", "0.0005", "--device", "cpu")
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert "--minutes 0.0005: the calibration by 33 pictures takes about" in said
    assert "or more, or a smaller --size (now 33)" in said
    assert not (tmp_path / "run").exists()


def test_a_tenth_of_a_budget_is_kept_or_what_the_calibration_needs(tmp_path: Path) -> None:
    found = picture_folder.FoundPictures(tmp_path, (), ((64, 64),) * 200, 1, 8, ())
    plan = planned(found, minutes=2)
    assert kept_seconds(plan, 3) == 12
    assert told_of_kept(plan, 12) == []
    assert kept_seconds(plan, 48) == 48
    told = "the calibration by 200 pictures takes about 48 s of the time (40%); the rest is for training"
    assert told_of_kept(plan, 48) == [told]
    with pytest.raises(DataError, match=r"--minutes 2: .* takes about 90 s .* give --minutes 3 or more"):
        kept_seconds(plan, 90)
    assert kept_seconds(plan, 90, trained=True) == 90


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
    assert "copies of other pictures are left out, 12 in all:" in result.output
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


def test_a_folder_of_colour_and_deep_pictures_is_described(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30), 1000, np.uint16)).save(tmp_path / "deep.png")
    Image.new("L", (30, 20)).save(tmp_path / "grey.png")
    found = picture_folder.look(tmp_path)
    assert (found.colours, found.bits, found.sizes) == (1, 10, ((30, 20), (30, 20)))
    Image.new("CMYK", (40, 20)).save(tmp_path / "colour.jpg")
    assert picture_folder.look(tmp_path).colours == 3
    with pytest.raises(DataError, match="must be a folder"):
        picture_folder.look(tmp_path / "grey.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        picture_folder.look(tmp_path / "empty")


def test_hidden_files_are_no_pictures_and_every_pnm_is_one(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "good"
    (folder / ".thumbnails").mkdir(parents=True)
    picture = Image.new("L", (30, 20))
    for name in ("a.png", "b.pnm", ".thumbnails/a.png"):
        picture.save(folder / name)
    picture.convert("1").save(folder / "c.pbm")
    (folder / "._a.png").write_bytes(b"\0\5\x16\7")
    found = picture_folder.look(folder)
    assert [path.name for path in found.paths] == ["a.png", "b.pnm", "c.pbm"]
    assert not found.damaged


def test_of_several_pages_the_first_is_taken_and_linked_folders_are_not_followed(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    pages = [Image.new("L", (30, 20), level) for level in (50, 90)]
    for name in ("pages.tif", "moving.gif"):
        pages[0].save(good / name, save_all=True, append_images=pages[1:])
    (tmp_path / "others").mkdir()
    pages[1].save(tmp_path / "others/other.png")
    (good / "linked").symlink_to(tmp_path / "others")
    found = picture_folder.look(good)
    assert [path.name for path in found.paths] == ["moving.gif", "pages.tif"]
    _, (pixels,) = picture_folder.read(found, Preparation(30, 1))
    assert set(pixels.flatten().tolist()) == {50}


def test_pictures_with_damaged_exif_are_read_as_they_lie(tmp_path: Path) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "damaged.png", exif=b"Exif\0\0garbage-not")
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.new("L", (30, 20)).save(tmp_path / "unknown.jpg", exif=exif)
    found = picture_folder.look(tmp_path)
    assert (found.sizes, found.damaged) == (((30, 20), (30, 20)), ())


def test_sizes_and_times_follow_from_the_pictures(tmp_path: Path) -> None:
    def plan_of(width: int, height: int, size: int | None = None) -> tuple[int, int, bool]:
        found = picture_folder.FoundPictures(tmp_path, (), ((width, height),) * 40, 1, 8, ())
        plan = planned(found, size=size)
        return plan.preparation.longest, plan.crop, plan.same_size

    assert plan_of(64, 64) == (64, 48, True)
    assert plan_of(1000, 500) == (256, 64, True)
    assert plan_of(1000, 500, size=128) == (128, 48, True)
    assert plan_of(20, 9) == (20, 8, True)
    narrow = picture_folder.FoundPictures(tmp_path, (), ((1000, 20),) * 40, 1, 8, ())
    with pytest.raises(DataError, match=r"0 pictures can be used.* 40 are left out: .* is 1000x20; .* of 256 .*--size"):
        planned(narrow)
    assert planned(narrow, size=1000).crop == 8
    assert [default_minutes(side) for side in (20, 64, 160, 256, 4000)] == [10, 10, 20, 30, 30]


def test_what_is_told_follows_from_readings_crops_and_usable_pictures(tmp_path: Path) -> None:
    def told(sizes: tuple[tuple[int, int], ...], crop: int, colours: int = 1) -> list[str]:
        found = picture_folder.FoundPictures(tmp_path, (), sizes, colours, 8, ())
        return planned(found, crop=crop).told()

    def gigabytes(lines: list[str]) -> float:
        return float(lines[-1].removeprefix("memory: about ").split(" GB")[0])

    narrow = told(((2000, 8), *[(64, 64)] * 20, *[(512, 512)] * 20), crop=32)
    assert narrow[0].endswith(", 20 scaled down (--size)")
    # A step of 8 crops of 256x256 keeps 1.4 GB; a crop of 64x64 keeps less than a tile.
    many, one = told(((256, 256),) * 40, crop=256), told(((256, 256),) * 40, crop=64)
    assert gigabytes(many) - gigabytes(one) == pytest.approx(1.2, abs=0.11)
    # 11 readings of 4 bytes and a third of a copy, beside 3 bytes of the picture.
    more, fewer = told(((256, 256),) * 1000, 64, colours=3), told(((256, 256),) * 100, 64, colours=3)
    assert gigabytes(more) - gigabytes(fewer) == pytest.approx(900 * 256**2 * (3 + 11 * 4 * 4 / 3) / 2**30, abs=0.11)


def test_why_a_file_is_left_out_does_not_tell_where_it_lies(tmp_path: Path) -> None:
    for number, item in enumerate(surface(30)):
        Image.fromarray(item).save(tmp_path / f"{number}.png")
    (tmp_path / "zz.png").write_bytes(b"no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    found = picture_folder.look(tmp_path)
    assert found.damaged[-1] == "zz.png: is not a readable picture: its content is that of no format that is known"
    assert not any(str(tmp_path) in reason for reason in found.damaged)


@pytest.mark.usefixtures("_tiny")
def test_the_command_of_a_card_of_tiny_pictures_can_be_given_again(
    small: Path, tmp_path: Path, sluice_train: Callable[..., Result]
) -> None:
    result = sluice_train("pictures", "--data", str(small), "--steps", "1", "--no-flip", "--no-turn")
    assert result.exit_code == 0, result.output
    assert "--size 16 " in Store(tmp_path / "store").load("small", 1).read("README.md").decode()


def test_a_few_small_pictures_do_not_make_the_crops_small(tmp_path: Path) -> None:
    def plan_of(small: int, crop: int | None = None) -> PicturePlan:
        sizes = ((16, 30),) * small + ((256, 200),) * (40 - small)
        return planned(picture_folder.FoundPictures(tmp_path, (), sizes, 1, 8, ()), crop=crop)

    assert (plan_of(0).crop, plan_of(2).crop, plan_of(3).crop) == (64, 64, 8)
    assert (plan_of(2, 128).crop, plan_of(3, 16).crop) == (128, 16)
    assert "pictures smaller than a crop: 2; they calibrate, but are not trained on" in plan_of(2).told()
    assert not any("smaller than a crop" in line for line in [*plan_of(0).told(), *plan_of(3).told()])
    with pytest.raises(DataError, match="multiple of 8 and at most 16"):
        plan_of(3, 24)
    pictures = [torch.zeros(size[::-1], dtype=torch.uint8) for size in plan_of(2).sizes]
    for fold in range(FOLDS):
        parted = trained_on(plan_of(2), pictures, dealt(40, 0), fold, 0)
        assert {tuple(each.shape) for part in parted for each in part} == {(200, 256)}


@pytest.mark.usefixtures("_tiny")
def test_a_picture_smaller_than_a_crop_calibrates(folder: Path, sluice_train: Callable[..., Result]) -> None:
    Image.fromarray(surface(1, 9)[0][:12, :12]).save(folder / "small.png")
    result = sluice_train("pictures", "--data", str(folder), "--steps", "1", "--no-publish", "--crop", "16", "--flip")
    assert result.exit_code == 0, result.output
    assert "calibration: scoring 34 pictures" in result.output
    assert "crops of 16x16" in result.output
    assert "pictures smaller than a crop: 1;" in result.output


def test_folds_are_even() -> None:
    assert dealt(40, seed=3).bincount().tolist() == [14, 13, 13]
    assert not torch.equal(dealt(40, seed=3), dealt(40, seed=4))


def test_crops_lie_within_pictures_and_reach_every_corner() -> None:
    picture = torch.arange(12 * 10, dtype=torch.uint8).reshape(12, 10)
    crops = cut([picture], 8, 200, seed=0)
    assert crops.shape == (200, 8, 8)
    corners = {int(crop[0, 0]) for crop in crops}
    assert corners == {10 * row + column for row in range(5) for column in range(3)}


def test_aligned_pictures_are_told_from_a_surface() -> None:
    generator = torch.Generator().manual_seed(0)
    pattern = torch.nn.functional.interpolate(torch.randn(1, 1, 6, 6, generator=generator), 24)[0, 0]
    folds = torch.arange(30) % 3
    noise = [torch.randn(24, 24, generator=generator) for _ in range(30)]
    assert aligned([pattern + each for each in noise], folds)
    assert not aligned(noise, folds)


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


def test_crops_are_mirrored_and_turned_as_asked() -> None:
    picture = torch.arange(64, dtype=torch.uint8).reshape(8, 8)
    kinds = {
        "plain": (Augmentation(), 1),
        "flip": (Augmentation(flip=True), 2),
        "turn": (Augmentation(turn=True), 4),
        "both": (Augmentation(flip=True, turn=True), 8),
    }
    for augmentation, count in kinds.values():
        found = cut([picture], 8, 200, 0, augmentation)
        assert len({tuple(each.flatten().tolist()) for each in found}) == count
        assert all(torch.equal(each.sort().values, picture.flatten()) for each in found.flatten(1))


def test_changed_pictures_are_ordinary_only_where_that_is_sure() -> None:
    assert Difference(0.0, 0.01).harmless
    assert Difference(-0.1, 0.02).harmless
    assert not Difference(0.05, 0.001).harmless
    assert not Difference(0.0, 0.05).harmless


def test_the_place_matters_for_parts_and_not_for_a_surface() -> None:
    assert place_matters(list(parts(48, 30, seed=1)))
    assert not place_matters([torch.from_numpy(item[:20, :20]) for item in surface(30)])


@pytest.mark.parametrize("shape", [(8, 256), (16, 2048), (256, 8)])
def test_the_place_matters_in_long_parts_too(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    pattern = torch.nn.functional.interpolate(torch.randn(1, 1, 3, 40, generator=generator), sorted(shape))[0, 0]
    pattern = pattern if shape[0] < shape[1] else pattern.T
    noise = [128 + 12 * torch.randn(shape, generator=generator) for _ in range(30)]
    assert place_matters([(each + 30 * pattern).clamp(0, 255).byte() for each in noise])
    assert not place_matters([each.clamp(0, 255).byte() for each in noise])


def test_a_template_is_the_mean_of_the_other_half_at_the_size_of_a_picture() -> None:
    dark, light = torch.full((16, 24, 3), 10, dtype=torch.uint8), torch.full((16, 24, 3), 30, dtype=torch.uint8)
    assert torch.equal(template_of([dark, light]), torch.full((16, 24, 3), 20, dtype=torch.uint8))
    assert torch.equal(templates_by_half([dark, light, dark])[0], light)
    assert torch.equal(templates_by_half([dark, light, dark])[1], dark)
    large = torch.full((300, 200), 7, dtype=torch.uint8)
    small = template_of([large])
    assert max(small.shape) == LONGEST
    assert torch.equal(fitted(small, large), large)
