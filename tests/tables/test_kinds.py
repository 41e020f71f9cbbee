"""What kind a column is, and why one is left out."""

from __future__ import annotations

import numpy as np
import pytest

from tables import kinds
from tables.schema import CONTINUOUS, INTEGER, Kind


@pytest.mark.parametrize(
    ("numbers", "kind", "reason"),
    [
        (np.full(9, np.nan), None, "every cell is missing"),
        (np.full(9, 4.0), None, "is constant (4 in every row)"),
        (np.random.default_rng(0).normal(size=99), INTEGER, "is no column of integers or rounded numbers"),
        (np.append(np.full(9, 4.0), np.nan), None, "is constant (4 in every row that has a value)"),
        (np.geomspace(1e30, 1e45, 99), None, "holds 1e+45, too large for float32; take its logarithm"),
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
    ("word", "count", "rows", "reason"),
    [
        ("C{}", 90, 100, "such as 'C100' in 100 rows, which tell rows apart"),
        ("C{}", 40, 1000, "--kind NAME=category"),
        ("{} %", 90, 100, "such as '100 %'; write the numbers without signs or units"),
        ("EUR {},50", 90, 100, "write the numbers without signs or units"),
    ],
)
def test_too_many_words_are_left_out(word: str, count: int, rows: int, reason: str) -> None:
    words = [word.format(100 + number) for number in range(count)]
    assert reason in kinds.left_out_words("serial", words, rows).reason


@pytest.mark.parametrize(("name", "is_left_out"), [("customerID", True), ("userId", True), ("acid", False)])
def test_different_numbers_under_the_name_of_an_id_are_no_input(name: str, is_left_out: bool) -> None:
    numbers = np.random.default_rng(0).permutation(900.0 + np.arange(99) * 7)
    assert isinstance(kinds.numeric(name, numbers, None), kinds.LeftOut) == is_left_out


def test_a_column_with_hardly_a_value_is_left_out() -> None:
    numbers = np.full(99, np.nan)
    numbers[:4] = [1.5, 2.5, 0.25, 3.0]
    found = kinds.numeric("rare", numbers, None)
    assert isinstance(found, kinds.Found)
    assert kinds.enough(found) == kinds.LeftOut("rare", "has a value in 4 of 99 rows; --columns takes it")
