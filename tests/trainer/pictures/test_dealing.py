"""Folds and halves of pictures, some of which show the same scene."""

from __future__ import annotations

import itertools

import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from trainer.pictures.dealing import dealt, halved
from trainer.pictures.parting import scenes

NONE = torch.empty(0, 2, dtype=torch.long)


def films(sizes: list[int], seed: int = 0) -> Tensor:
    """Pairs of frames that follow each other in films of these lengths, the frames in any order."""
    names = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed)).split(sizes)
    return torch.cat([torch.stack([film[:-1], film[1:]], dim=1) for film in names])


def test_folds_and_halves_of_pictures_of_their_own_are_even() -> None:
    parts = dealt(NONE, 40, seed=3)
    assert sorted(parts.folds.bincount().tolist()) == [13, 13, 14]
    for fold in range(3):
        assert sorted(parts.halves[parts.folds == fold].bincount().tolist()) in ([6, 7], [7, 7])
    assert not torch.equal(parts.folds, dealt(NONE, 40, seed=4).folds)


@given(st.lists(st.integers(1, 5), min_size=12, max_size=30), st.integers(0, 1000))
@example([5, 4, 3, 3, 3, 3, 3, 3, 3], 1)
@example([3, 3, 3, 3, 5, 3, 3, 3, 3, 4], 0)
def test_small_scenes_stay_together_and_parts_stay_even(sizes: list[int], seed: int) -> None:
    pairs, count = films(sizes, seed), sum(sizes)
    parts = dealt(pairs, count, seed)
    numbers = 2 * parts.folds + parts.halves
    least = numbers.bincount(minlength=6).min()
    if max(sizes) <= count // 6:
        assert least >= count / 6 - max(sizes)
        whole = scenes(pairs, count)
        assert all(len(numbers[whole == scene].unique()) == 1 for scene in whole.unique())
    assert least >= 1


@given(st.integers(30, 90), st.integers(0, 1000))
def test_a_large_scene_is_cut_where_few_pairs_are_torn(count: int, seed: int) -> None:
    """One film whose frames resemble the next five, and some pictures of their own."""
    film = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[: count - 4]
    pairs = torch.cat([torch.stack([film[:-ahead], film[ahead:]], dim=1) for ahead in range(1, 6)])
    parts = dealt(pairs, count, seed)
    numbers = 2 * parts.folds + parts.halves
    assert numbers.bincount(minlength=6).min() >= count // 18
    torn = (numbers[pairs[:, 0]] != numbers[pairs[:, 1]]).sum()
    # Every cut of a film tears 15 pairs, and pieces have at least a third of what a half should have.
    assert torn <= 15 * 3 * 6
    at_random = dealt(NONE, count, seed)
    numbers = 2 * at_random.folds + at_random.halves
    assert torn < (numbers[pairs[:, 0]] != numbers[pairs[:, 1]]).sum()


def test_halves_of_a_fold_share_nothing_where_a_film_is_cut_into_six() -> None:
    pairs = torch.stack([torch.arange(59), torch.arange(1, 60)], dim=1)
    for seed in range(20):
        parts = dealt(pairs, 60, seed)
        near = parts.folds[pairs[:, 0]] == parts.folds[pairs[:, 1]]
        assert bool((parts.halves[pairs[:, 0]] == parts.halves[pairs[:, 1]])[near].all())


def test_halves_can_be_dealt_anew() -> None:
    pairs, generator = films([3] * 20), torch.Generator().manual_seed(0)
    parts = dealt(pairs, 60, 0)
    again = [halved(pairs, parts.folds, generator) for _ in range(8)]
    assert any(not torch.equal(again[0], other) for other in again)
    for halves in again:
        assert torch.equal(halves[pairs[:, 0]], halves[pairs[:, 1]])


@given(st.lists(st.integers(1, 5), min_size=12, max_size=30), st.integers(0, 1000))
def test_pictures_set_apart_are_of_scenes_of_their_own(sizes: list[int], seed: int) -> None:
    pairs, count = films(sizes, seed), sum(sizes)
    parts = dealt(pairs, count, seed)
    for fold in range(3):
        among = parts.folds != fold
        known, held = parts.apart(among, 8, seed)
        assert sorted(known + held) == among.nonzero().flatten().tolist()
        wanted = max(2, int(among.sum()) // 8)
        assert 2 <= len(held) <= 2 * wanted
        if max(sizes) <= wanted:
            whole = scenes(pairs, count)
            assert not set(whole[known].tolist()) & set(whole[held].tolist())


def test_an_eighth_of_pictures_of_their_own_is_set_apart_at_random() -> None:
    parts = dealt(NONE, 60, 0)
    known, held = parts.apart(parts.folds != 0, 8, 1)
    assert (len(known), len(held)) == (35, 5)
    assert parts.apart(parts.folds != 0, 8, 1) == (known, held)
    assert set(parts.apart(parts.folds != 0, 8, 2)[1]) != set(held)


def test_a_piece_of_one_long_film_is_set_apart() -> None:
    film = torch.stack([torch.arange(59), torch.arange(1, 60)], dim=1)
    parts = dealt(film, 60, 0)
    _, held = parts.apart(torch.ones(60, dtype=torch.bool), 8, 0)
    pieces = 1 + sum(after - before > 1 for before, after in itertools.pairwise(sorted(held)))
    assert 4 <= len(held) <= 10
    assert pieces <= 3  # five of seven alone would have neighbours among the others
