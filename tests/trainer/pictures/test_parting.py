"""Scenes from pairs of pictures, and pieces of large ones."""

from __future__ import annotations

from itertools import combinations

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.pictures.parting import pieces, scenes

PAIRS = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)).filter(lambda pair: pair[0] < pair[1]), max_size=40)


def as_tensor(pairs: list[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


def test_a_scene_is_all_pictures_that_hang_together() -> None:
    found = scenes(as_tensor([(0, 3), (3, 5), (1, 2)]), 7)
    assert len(found.unique()) == 4
    assert found[0] == found[3] == found[5]
    assert found[1] == found[2]
    assert scenes(as_tensor([]), 3).unique().tolist() == [0, 1, 2]


def test_a_chain_is_cut_into_pieces_that_follow_each_other() -> None:
    found = pieces(as_tensor([(at, at + 1) for at in range(11)]), 12, 4)
    assert found.bincount().max() <= 4
    assert int((found[1:] != found[:-1]).sum()) == len(found.unique()) - 1


def test_two_clusters_are_cut_between_them() -> None:
    within = [*combinations(range(6), 2), *combinations(range(6, 12), 2)]
    found = pieces(as_tensor([*within, (2, 9)]), 12, 6)
    assert found[:6].unique().numel() == found[6:].unique().numel() == 1
    assert found[0] != found[6]


@given(PAIRS, st.integers(1, 20))
def test_pieces_are_small_enough_and_within_a_scene(pairs: list[tuple[int, int]], most: int) -> None:
    whole, found = scenes(as_tensor(pairs), 20), pieces(as_tensor(pairs), 20, most)
    assert found.unique().tolist() == list(range(len(found.unique())))
    for piece in found.unique():
        own = whole[found == piece]
        assert len(own) <= most
        assert len(own.unique()) == 1
    for scene in whole.unique():
        if int((whole == scene).sum()) <= most:
            assert len(found[whole == scene].unique()) == 1
