"""What follows from the sizes and the number of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.data import picture_folder
from trainer.errors import DataError
from trainer.pictures.dealing import dealt
from trainer.pictures.folds import trained_on
from trainer.pictures.plan import FOLDS, PicturePlan, default_minutes, planned


def test_sizes_and_times_follow_from_the_pictures(tmp_path: Path) -> None:
    def plan_of(width: int, height: int, size: int | None = None) -> tuple[int, int, bool]:
        found = picture_folder.FoundPictures(tmp_path, (), ((width, height),) * 40, 1, 8, ())
        plan = planned(found, size=size)
        return plan.preparation.longest, plan.crop, plan.same_size

    assert plan_of(64, 64) == (64, 48, True)
    assert plan_of(1000, 500) == (256, 64, True)
    assert plan_of(1000, 500, size=128) == (128, 48, True)
    assert plan_of(20, 9) == (20, 8, True)
    several = picture_folder.FoundPictures(tmp_path, (), ((1000, 500), (200, 200), (512, 300)) * 20, 1, 8, ())
    assert planned(several).reductions == (1, 1000 / 256)
    assert planned(several, size=1000).reductions == (1, 1)
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
    pictures = [torch.full(size[::-1], index, dtype=torch.uint8) for index, size in enumerate(plan_of(2).sizes)]
    for pairs in (torch.empty(0, 2, dtype=torch.long), torch.tensor([(index, index + 1) for index in range(4, 38, 2)])):
        parts = dealt(pairs, 40, 0)
        for fold in range(FOLDS):
            known, held = trained_on(plan_of(2), pictures, parts, fold, 0)
            assert {tuple(each.shape) for each in [*known, *held]} == {(200, 256)}
            numbers = sorted(int(each[0, 0]) for each in [*known, *held])
            assert numbers == [index for index in range(2, 40) if parts.folds[index] != fold]
