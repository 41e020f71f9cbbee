"""Jobs are cut into pieces and put together again."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.device.columns import Columns
from service.device.jobs import Climbers, Piece, halves, pieces_of
from service.protocol.errors import Unavailable
from tests.service.device.toys import Bench


def rows_of(piece: Piece) -> list[int]:
    if isinstance(piece, Climbers):
        return [int(piece.share.batch.rows["value"][place]) for place in piece.share.places]
    values: list[int] = piece.columns["value"].tolist()
    return values


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 20), st.sampled_from([1, 5]))
def test_pieces_and_their_halves_hold_every_row_once_and_in_order(sizes: list[int], largest: int, length: int) -> None:
    bench, first, pieces = Bench(), 0, list[Piece]()
    for size in sizes:
        job = bench.submit(list(range(first, first + size)), length).job
        pieces += pieces_of(job, largest)
        first += size
    assert max(map(len, pieces)) <= largest
    assert [row for piece in pieces for row in rows_of(piece)] == list(range(first))
    if first > 1:
        left, right = halves(pieces)
        assert sum(map(len, left)) == first // 2
        assert sorted(row for piece in (*left, *right) for row in rows_of(piece)) == list(range(first))


def test_results_come_back_once_all_are_there_and_in_order() -> None:
    job = Bench().submit([1, 2, 3]).job
    assert job.deliver(torch.tensor([2, 0]), Columns({"value": torch.tensor([30, 10])})) is None
    whole = job.deliver(torch.tensor([1]), Columns({"value": torch.tensor([20])}))
    assert whole is not None
    assert whole["value"].tolist() == [10, 20, 30]


@pytest.mark.parametrize("first", ["fail", "drop", "close"])
def test_the_first_end_of_a_job_is_its_only_one(first: str) -> None:
    bench = Bench()
    request = bench.submit([1])
    if first == "fail":
        request.job.fail(Unavailable("one"))
    else:
        assert getattr(request.job, first)()
    request.job.fail(Unavailable("another"))
    assert not request.job.close()
    assert (request.problem is not None) == (first == "fail")
    assert bench.account.waiting == 0
