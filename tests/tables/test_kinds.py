"""What kind a column is, and why one is left out."""

from __future__ import annotations

import numpy as np
import pytest

from tables import kinds
from tables.schema import CATEGORY, CONTINUOUS, INTEGER, Kind


def test_numbers_are_a_category_where_the_user_says_so() -> None:
    found = kinds.numeric("line", np.array([3.0, 1.0, np.nan, 3.0]), CATEGORY)
    assert isinstance(found, kinds.Found)
    assert found.column.kind == CATEGORY
    assert found.numbers[[0, 3]].tolist() == [found.numbers[0]] * 2
    assert found.numbers[0] != found.numbers[1]
    assert np.isnan(found.numbers[2])


@pytest.mark.parametrize(
    ("numbers", "kind", "reason"),
    [
        (np.arange(1001.0), CATEGORY, "has 1,001 different values; a category has at most 1000"),
        (np.full(9, np.nan), None, "every cell is missing"),
        (np.full(9, 4.0), None, "is constant (4 in every row)"),
        (np.random.default_rng(0).normal(size=99), INTEGER, "is no column of integers or rounded numbers"),
        (1e9 + np.random.default_rng(0).normal(size=99), CONTINUOUS, None),
    ],
)
def test_a_column_that_tells_nothing_is_left_out_with_its_reason(
    numbers: np.ndarray, kind: Kind | None, reason: str | None
) -> None:
    found = kinds.numeric("value", numbers, kind)
    if reason is None:
        assert isinstance(found, kinds.Found)
    else:
        assert isinstance(found, kinds.LeftOut)
        assert reason in found.reason


@pytest.mark.parametrize(
    ("count", "rows", "reason"), [(90, 100, "tell rows apart"), (40, 1000, "--kind NAME=category")]
)
def test_too_many_words_are_left_out(count: int, rows: int, reason: str) -> None:
    assert reason in kinds.left_out_words("serial", count, rows).reason
