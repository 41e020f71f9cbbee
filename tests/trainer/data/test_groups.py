"""Rows that are nearly the same, on one side of a split; and values that many rows have, on both."""

from __future__ import annotations

import pytest
import torch

from trainer.data.groups import divided, groups_of, repeated


def rows_of(count: int) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(count))


def test_copies_stay_together() -> None:
    rows = rows_of(100).repeat_interleave(3, dim=0)
    held_out, others = divided(rows, 30, seed=0)
    assert 30 <= len(held_out) < 33
    assert not set((held_out // 3).tolist()) & set((others // 3).tolist())
    assert repeated(rows) == 200


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.95, 1.0])
def test_a_value_that_many_rows_have_is_on_both_sides(share: float) -> None:
    rows = rows_of(2000)
    rows[: int(2000 * share)] = 0
    rows = rows[torch.randperm(2000, generator=torch.Generator().manual_seed(1))]
    held_out, others = divided(rows, 200, seed=0)
    assert len(held_out) == 200
    assert sorted([*held_out.tolist(), *others.tolist()]) == list(range(2000))
    for part in (held_out, others):
        assert float((rows[part] == 0).all(dim=1).double().mean()) == pytest.approx(share, abs=0.1)
    assert repeated(rows) == int(2000 * share) - 1


def test_a_row_far_from_all_others_does_not_make_them_one_group() -> None:
    rows = rows_of(300)
    rows[7] = 1e7
    held_out, others = divided(rows, 30, seed=0)
    assert (len(held_out), len(others)) == (30, 270)
    assert len(groups_of(rows, 30).unique()) == 300
