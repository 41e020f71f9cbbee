"""Folds of rows: equal sizes, and rows that are the same on one side."""

from __future__ import annotations

import torch

from trainer.data.groups import groups_of
from trainer.publish.folds import FOLDS, dealt


def test_folds_differ_by_one_row_at_most() -> None:
    sizes = torch.bincount(dealt(torch.arange(62), seed=0), minlength=FOLDS)
    assert int(sizes.max() - sizes.min()) <= 1


def test_rows_that_are_nearly_the_same_are_in_one_fold() -> None:
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).repeat(4, 1)
    folds = dealt(groups_of(rows), seed=0).view(4, 50)
    assert bool((folds == folds[0]).all())


def test_the_seed_decides_the_folds() -> None:
    groups = torch.arange(100)
    assert torch.equal(dealt(groups, 1), dealt(groups, 1))
    assert not torch.equal(dealt(groups, 1), dealt(groups, 2))
