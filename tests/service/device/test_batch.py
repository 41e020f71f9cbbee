"""Shares of a batch: joined again they are the rows that they were, and nothing is copied that need not be."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from service.device.batch import Batch, Share
from service.device.batch import join as join_to_size
from service.device.columns import ROWS_MULTIPLE, Columns, filled, padded_length, padded_lengths


def batch(values: list[int]) -> Batch:
    return Batch(filled(Columns({"value": torch.tensor(values)}), to_multiple(len(values))), len(values))


def join(shares: list[Share]) -> Batch:
    return join_to_size(shares, to_multiple)


def to_multiple(count: int) -> int:
    return padded_length(count, ROWS_MULTIPLE)


def values(batch: Batch) -> list[int]:
    found: list[int] = batch.rows["value"].tolist()
    return found


def test_the_same_members_are_the_same_batch() -> None:
    rows = batch([1, 2, 3, 4, 5])
    assert join([Share(rows, [0, 1]), Share(rows, [2]), Share(rows, [3, 4])]) is rows


def test_who_left_is_not_taken_along_as_padding() -> None:
    rows = batch([1, 2, 3, 4, 5])
    assert values(join([Share(rows, [0, 1]), Share(rows, [2])])) == [1, 2, 3, 3, 3, 3, 3, 3]


def test_an_unpadded_batch_is_padded() -> None:
    assert values(join([Share(Batch(Columns({"value": torch.tensor([7, 8])}), 2), range(2))])) == [7, *[8] * 7]


def test_rows_that_need_no_company_stay_alone() -> None:
    rows = Batch(Columns({"value": torch.tensor([7, 8, 9])}), 3)
    assert join_to_size([Share(rows, [0, 1, 2])], lambda count: count) is rows
    assert values(join_to_size([Share(rows, [1])], lambda count: count)) == [8]


@given(
    batches=st.lists(
        st.integers(1, 20).flatmap(
            lambda n: st.tuples(
                st.just(n), st.lists(st.lists(st.integers(0, n - 1), min_size=1, max_size=9), min_size=1)
            )
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_shares_of_any_batches_join_in_order(batches: list[tuple[int, list[list[int]]]]) -> None:
    shares, expected = [], []
    for number, (count, picks) in enumerate(batches):
        rows = batch([100 * number + i for i in range(count)])
        for places in picks:
            shares.append(Share(rows, places))
            expected += [100 * number + i for i in places]
    joined = join(shares)
    assert values(joined)[: len(expected)] == expected
    assert joined.members == len(expected)
    assert len(joined.rows) % ROWS_MULTIPLE == 0
    assert [values(join([share.select(torch.tensor([0]))]))[0] for share in shares] == [
        values(share.batch)[share.places[0]] for share in shares
    ]


@given(count=st.integers(1, 5000), multiple=st.sampled_from([1, 2, 8, 12]))
def test_a_batch_is_filled_up_by_little(count: int, multiple: int) -> None:
    length = padded_length(count, multiple)
    assert length % multiple == 0
    assert count <= length < 1.25 * count + multiple
    assert padded_length(length, multiple) == length, "what is filled up stays as it is"


def test_batches_of_any_number_of_rows_have_few_sizes() -> None:
    assert len(padded_lengths(256, 1)) == 28
    assert padded_lengths(20, 8) == [8, 16, 24]
