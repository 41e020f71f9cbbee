"""The films of the benchmark of scenes, and its table."""

from __future__ import annotations

import pytest
import torch

from bench.scenes import films, table
from trainer.pictures.scenes import scenes


@pytest.mark.parametrize("name", ["brick", "retina"])
def test_frames_show_their_scene_and_new_pictures_others(name: str) -> None:
    pytest.importorskip("skimage")
    known, new = films(name)
    assert known.shape[:3] == (60, 64, 64)
    assert len(new) >= 29
    assert torch.equal(films(name)[0], known)
    found = scenes([*known, *new])
    assert sum(found[:60] == 3 * (torch.arange(60) // 3)) >= 54
    assert sum(found[60:] >= 60) >= len(new) - 3


def test_a_table_has_the_alarms_of_both_ways() -> None:
    apart = {"scenes": 20, "n": 60, "new": 29, "alarms": 0.2, "found": 0.75}
    rows = list(table({"brick": (apart, {**apart, "alarms": 0.03, "found": 0.5})}, 9))
    assert rows[-1] == "| brick | 20 | 0.0000 to 0.2069 | 0.200 | 0.030 | 0.75 | 0.50 |"
