"""What the calibration takes of a budget of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.data import picture_folder
from trainer.errors import DataError
from trainer.pictures.budget import kept_seconds, told_of_kept
from trainer.pictures.plan import planned


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
    with pytest.raises(DataError, match=r"reading took 50 s, and .* takes about 30 s .* give --minutes 2.7 or more"):
        kept_seconds(plan, 30, spent=50)
    assert kept_seconds(plan, 30, spent=20) == 30
