"""Keyed noise follows from the key alone, and has the right distribution."""

from __future__ import annotations

import gc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flows import noise


@given(seed=st.integers(0, 2**64 - 1), few=st.integers(1, 20), many=st.integers(20, 60))
def test_fewer_rows_are_a_prefix_of_more(seed: int, few: int, many: int) -> None:
    assert torch.equal(noise.keys(seed, few), noise.keys(seed, many)[:few])
    assert torch.equal(noise.keys(seed, many)[few:], noise.keys(seed, many - few, first=few))


def test_a_row_gets_the_same_draws_alone_and_in_a_batch() -> None:
    ours, others = noise.keys(1, 4), noise.keys(2, 5)
    together = noise.uniform(torch.cat([others, ours]), (3, 7))
    assert torch.equal(together[5:], noise.uniform(ours, (3, 7)))


def test_draws_are_uniform_and_uncorrelated() -> None:
    u = noise.uniform(noise.keys(7, 400), (784,))
    assert u.min() > 0
    assert u.max() < 1
    counts = torch.histc(u, bins=100, min=0, max=1)
    expected = u.numel() / 100
    assert ((counts - expected).square() / expected).sum() < 160, "chi-square with 99 degrees of freedom: p < 1e-4"
    between_rows = torch.corrcoef(u).fill_diagonal_(0)
    between_columns = torch.corrcoef(u.T).fill_diagonal_(0)
    assert between_rows.abs().max() < 5.5 / 784**0.5
    assert between_columns.abs().max() < 5.5 / 400**0.5


def test_normal_draws_have_normal_moments() -> None:
    z = noise.normal(noise.keys(3, 300), (500,))
    assert z.mean().item() == pytest.approx(0, abs=0.01)
    assert z.std().item() == pytest.approx(1, abs=0.01)
    assert z.pow(4).mean().item() == pytest.approx(3, abs=0.1)


def test_other_seeds_steps_or_contents_give_other_streams() -> None:
    parents = noise.keys(1, 1000)
    streams = torch.cat([parents, noise.keys(2, 1000), *(noise.derive(parents, step) for step in range(3))])
    assert len(streams.unique()) == 5000
    assert torch.equal(noise.derive(parents, torch.full((1000,), 2)), noise.derive(parents, 2))
    items = torch.zeros(785, 28, 28, dtype=torch.uint8)
    items.flatten(1)[range(784), range(784)] = 1
    assert len(noise.content_keys(items, 0).unique()) == 785
    assert not torch.equal(noise.content_keys(items, 0), noise.content_keys(items, 1))


@given(seeds=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5), index=st.integers(-10, 2**31))
def test_a_number_and_a_tensor_of_it_give_the_same_keys(seeds: list[int], index: int) -> None:
    items = torch.arange(3 * len(seeds)).reshape(-1, 3)
    together = noise.content_keys(items, torch.tensor(seeds))
    alone = [noise.content_keys(item[None], seed) for item, seed in zip(items, seeds, strict=True)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(noise.derive(together, index), noise.derive(together, torch.full_like(together, index)))


def test_pictures_of_many_sizes_leave_nothing_in_memory() -> None:
    row, sizes = noise.keys(0, 1), range(1_000_000, 1_000_004)
    for count in sizes:
        assert torch.equal(noise.uniform(row, (count,))[:, :9], noise.uniform(row, (9,)))
        noise.content_keys(torch.zeros(1, count, dtype=torch.uint8), 0)
    assert not [each.shape for each in gc.get_objects() if type(each) is torch.Tensor and each.numel() in sizes]
