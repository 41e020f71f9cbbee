"""The films of the benchmark of scenes, and its table."""

from __future__ import annotations

import pytest
import torch

from bench.scenes import films, table
from trainer.pictures.parting import scenes
from trainer.pictures.scenes import alike


@pytest.mark.parametrize("name", ["brick", "retina"])
def test_frames_show_their_scene_and_new_pictures_others(name: str) -> None:
    pytest.importorskip("skimage")
    known, new = films(name)
    assert known.shape[:3] == (60, 64, 64)
    assert len(new) >= 29
    assert torch.equal(films(name)[0], known)
    found = scenes(alike([*known, *new]), 60 + len(new))
    films_whole = [len(film.unique()) == 1 for film in found[:60].split(3)]
    assert sum(films_whole) >= 18
    assert sum(bool((found[:60] != each).all()) for each in found[60:]) >= len(new) - 3


def test_a_table_has_the_alarms_of_both_ways() -> None:
    kept = {"scenes": 20, "n": 60, "new": 29, "alarms": 0.03, "found": 0.5}
    rows = list(table({"brick": (kept, {**kept, "alarms": 0.2, "found": 0.75})}, 9))
    assert rows[-1] == "| brick | 20 | 0.0000 to 0.2069 | 0.030 | 0.200 | 0.50 | 0.75 |"
