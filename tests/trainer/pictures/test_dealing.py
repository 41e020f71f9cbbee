"""Folds and halves of pictures, some of which show the same scene."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainer.errors import DataError
from trainer.pictures.dealing import dealt


@pytest.mark.parametrize("together", [False, True])
def test_folds_and_halves_of_pictures_of_their_own_are_even(together: bool) -> None:
    parts = dealt(torch.arange(40), seed=3, together=together)
    assert sorted(parts.folds.bincount().tolist()) == [13, 13, 14]
    for fold in range(3):
        assert sorted(parts.halves[parts.folds == fold].bincount().tolist()) in ([6, 7], [7, 7])
    assert not torch.equal(parts.folds, dealt(torch.arange(40), seed=4, together=together).folds)


@given(st.lists(st.integers(1, 7), min_size=12, max_size=30), st.integers(0, 1000))
def test_scenes_stay_together_and_parts_stay_even(sizes: list[int], seed: int) -> None:
    scenes = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    scenes = scenes[torch.randperm(len(scenes), generator=torch.Generator().manual_seed(seed))]
    parts = dealt(scenes, seed, together=True)
    assert parts.folds.bincount(minlength=3).min() >= len(scenes) / 3 - max(sizes)
    assert _whole(scenes, parts.folds)
    for fold in range(3):
        own = parts.folds == fold
        counts = parts.halves[own].bincount(minlength=2)
        assert counts.min() * 3 >= counts.sum() - 1
        by_turns = torch.arange(int(own.sum())) % 2
        assert torch.equal(parts.halves[own], by_turns) or _whole(scenes[own], parts.halves[own])


def test_scenes_are_dealt_at_random_unless_they_are_to_stay_together() -> None:
    scenes = torch.arange(20).repeat_interleave(3)
    assert torch.equal(dealt(scenes, 0).folds, dealt(torch.arange(60), 0).folds)
    assert not _whole(scenes, dealt(scenes, 0).folds)


@pytest.mark.parametrize("scenes", [[0] * 40 + list(range(1, 21)), [0] * 20 + [1] * 20])
def test_a_scene_too_large_to_be_kept_together_is_refused(scenes: list[int]) -> None:
    with pytest.raises(DataError, match=r"--together: \d+ of \d+ pictures hang together"):
        dealt(torch.tensor(scenes), seed=0, together=True)


def _whole(scenes: Tensor, parts: Tensor) -> bool:
    """Whether no scene is in several parts."""
    return all(len(parts[scenes == scene].unique()) == 1 for scene in scenes.unique())
