"""Splits: training, validation and test items are disjoint."""

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.conftest import idx_gz, image_set, write_images
from trainer import data
from trainer.errors import DataError

# Every image differs from every other: its number is written in its first two pixels.
NUMBERS = np.zeros((700, 4, 4), np.uint8)
NUMBERS[:, 0, 0], NUMBERS[:, 0, 1] = np.divmod(np.arange(700), 256)
FILES = idx_gz(NUMBERS[:600]), idx_gz(NUMBERS[600:])


@pytest.fixture
def numbered(tmp_path: Path) -> data.DataSet:
    write_images(tmp_path, *FILES)
    return image_set(*FILES)


def _set(items: data.Splits, split: str) -> set[bytes]:
    return {item.numpy().tobytes() for item in getattr(items, split)}


def test_the_splits_share_no_item_and_lose_none(numbered: data.DataSet, tmp_path: Path) -> None:
    splits = data.load(numbered, tmp_path, seed=3)
    train, validation, test = (_set(splits, name) for name in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (540, 60, 100)
    assert not train & validation
    assert not (train | validation) & test
    assert train | validation == {item.tobytes() for item in NUMBERS[:600]}


def test_the_seed_decides_what_is_held_out(numbered: data.DataSet, tmp_path: Path) -> None:
    one, same, other = (_set(data.load(numbered, tmp_path, seed=seed), "validation") for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_limit_keeps_the_first_training_and_test_items(numbered: data.DataSet, tmp_path: Path) -> None:
    splits = data.load(numbered, tmp_path, seed=0, limit=50)
    assert _set(splits, "train") | _set(splits, "validation") == {item.tobytes() for item in NUMBERS[:50]}
    assert _set(splits, "test") == {item.tobytes() for item in NUMBERS[600:650]}


def test_too_few_items_to_split_are_refused(numbered: data.DataSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few to split"):
        data.load(numbered, tmp_path, seed=0, limit=4)


def test_splits_tell_the_shape_of_their_items(numbered: data.DataSet, tmp_path: Path) -> None:
    images, points = data.load(numbered, tmp_path, seed=0), data.load(data.MOONS, None, seed=0)
    assert images.item_shape == (4, 4)
    assert points.item_shape == (2,)


def test_calibration_uses_validation_items_unless_more_can_be_drawn(numbered: data.DataSet, tmp_path: Path) -> None:
    images, points = data.load(numbered, tmp_path, seed=0), data.load(data.MOONS, None, seed=0)
    assert images.calibration is images.validation
    assert points.calibration.equal(data.MOONS.more())
    assert len(data.load(data.MOONS, None, seed=0, limit=90).calibration) == 90
