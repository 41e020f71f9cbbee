"""Folds of rows: equal sizes, and rows that are the same on one side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from trainer.data import OwnData, Splits
from trainer.data.groups import groups_of
from trainer.presets.table import TABLE
from trainer.publish.folds import FOLDS, dealt, fold_flows

SMALL = replace(
    TABLE,
    data=OwnData(),
    arguments={**TABLE.arguments, "couplings": 2, "hidden": [8]},
    epochs=1,
    batch_size=16,
    passes=1,
)


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


@pytest.mark.parametrize("keep_best", [False, True])
def test_rows_that_calibrate_train_no_weight_and_choose_no_epoch(keep_best: bool) -> None:
    """Whatever stands in the rows of a fold, its flow is the same to the bit, and the others are not."""
    preset = replace(SMALL, keep_best=keep_best)
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    folds, groups = dealt(torch.arange(40), seed=0), torch.arange(40)

    def weights(items: Tensor) -> list[Tensor]:
        splits = Splits(items, items[:0], items[:0])
        flows = fold_flows(preset, splits, folds, groups, seed=0, device=torch.device("cpu"))
        return [torch.cat([value.flatten() for value in flow.state_dict().values()]) for flow in flows]

    changed = torch.where((folds == 2)[:, None], 3 * rows + 1, rows)
    same = [torch.equal(one, other) for one, other in zip(weights(rows), weights(changed), strict=True)]
    assert same == [fold == 2 for fold in range(FOLDS)]
