"""API keys take turns, and a flood of one does not lengthen the ticks of another."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from service.device import fairness
from service.device.fairness import FairQueue, TickLengths
from tests.service.device.toys import Bench


class Rows:
    """A piece of so many rows of a key."""

    def __init__(self, tenant: str, count: int) -> None:
        self.job: Any = SimpleNamespace(tenant=tenant)
        self.count = count

    def __len__(self) -> int:
        return self.count


def taken(queue: FairQueue) -> list[tuple[str, int]]:
    found = []
    while queue:
        piece: Any = queue.popleft()
        found.append((piece.job.tenant, len(piece)))
    return found


def filled(*pieces: tuple[str, int]) -> FairQueue:
    queue = FairQueue()
    rows: Any = [Rows(*piece) for piece in pieces]
    queue.extend(rows)
    return queue


def test_one_key_alone_is_served_in_the_order_it_came() -> None:
    pieces = [("", 3), ("", 1), ("", 2)]
    queue = filled(*pieces)
    assert len(queue) == len(list(queue)) == 3
    assert taken(queue) == pieces


def test_the_key_that_has_had_fewest_rows_is_next() -> None:
    queue = filled(("a", 4), ("a", 4), ("a", 4), ("b", 1), ("b", 1), ("b", 4), ("c", 2))
    assert [tenant for tenant, _ in taken(queue)] == ["a", "b", "c", "b", "b", "a", "a"]


def test_what_is_given_back_is_not_counted_and_stays_first() -> None:
    queue = filled(("a", 5), ("b", 1))
    piece: Any = queue.popleft()
    piece.count = 2  # three of its rows are taken
    queue.appendleft(piece)
    assert taken(queue) == [("b", 1), ("a", 2)]


def test_a_key_that_comes_back_has_saved_no_turns() -> None:
    queue = filled(("a", 1))
    taken(queue)
    pieces: Any = [Rows("b", 100) for _ in range(3)]
    queue.extend(pieces)
    queue.popleft()
    back: Any = [Rows("a", 60) for _ in range(4)]
    queue.extend(back)
    assert [tenant for tenant, _ in taken(queue)] == ["a", "b", "a", "b", "a", "a"]


def test_of_equal_keys_the_one_that_was_in_no_tick_lately_is_next() -> None:
    queue = filled(("steady", 4), *[("flood", 4)] * 9)
    for _ in range(4):  # a tick of both, and one that is the flood's alone
        queue.popleft()
    back: Any = [Rows("steady", 4)]
    queue.extend(back)
    assert queue.first.job.tenant == "steady"
    newcomer: Any = [Rows("newcomer", 4)]
    queue.extend(newcomer)
    assert queue.first.job.tenant == "steady"


def test_a_long_piece_is_cut_so_that_others_are_in_the_same_tick() -> None:
    bench = Bench(max_rows=8)
    flood = [bench.submit([1] * 8, tenant="flood") for _ in range(5)]
    for round_ in range(3):
        steady = [bench.submit([2], tenant="steady") for _ in range(4)]
        bench.tick()
        assert [request.values for request in steady] == [[4]] * 4, round_
    bench.run()
    assert all(request.values == [2] * 8 for request in flood)


def test_a_small_request_overtakes_a_flood_of_another_key() -> None:
    bench = Bench(max_rows=16)
    flood = [bench.submit([1] * 16, tenant="flood") for _ in range(50)]
    small = bench.submit([2], tenant="small")
    bench.tick()
    bench.tick()
    assert small.values == [4]
    assert sum(request.values is not None for request in flood) <= 2
    bench.run()
    assert all(request.values == [2] * 16 for request in flood)


def test_without_keys_a_small_request_waits_for_those_before_it() -> None:
    bench = Bench(max_rows=16)
    for _ in range(5):
        bench.submit([1] * 16)
    small = bench.submit([2])
    for _ in range(5):
        bench.tick()
    assert small.values is None


def test_long_work_of_two_keys_alternates() -> None:
    bench = Bench(max_rows=16)
    bench.submit([1] * 16, length=8, tenant="a")
    bench.submit([3] * 16, length=8, tenant="b")
    for _ in range(12):
        bench.tick()
    of_b = sum(any(value % 3 == 0 for value in kinds) for _, kinds in bench.ticks)  # a tick doubles the values
    assert 5 <= of_b <= 7


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(fairness, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def ticks(lengths: TickLengths, *pieces: tuple[str, int], seconds: float) -> None:
    rows: Sequence[Any] = [Rows(*piece) for piece in pieces]
    for _ in range(40):
        lengths.took("program", rows, seconds)


def test_a_tick_lasts_no_longer_than_the_lightest_keys_own(clock: SimpleNamespace) -> None:
    lengths = TickLengths()
    assert lengths.most_rows("program", 256) == 256
    for rows, seconds in ((1, 0.010), (16, 0.011), (32, 0.013), (64, 0.02), (256, 0.08)):
        ticks(lengths, ("flood", rows), seconds=seconds)
    assert lengths.most_rows("program", 256) == 256
    ticks(lengths, ("light", 1), seconds=0.010)
    assert lengths.most_rows("program", 256) == 16
    assert lengths.most_rows("program", 4) == 4
    assert lengths.most_rows("another", 256) == 16
    clock.now += 2
    lengths.came("flood", brief=True)
    assert lengths.most_rows("program", 256) == 256


def test_a_key_that_never_had_a_tick_alone_does_not_take_a_floods_for_its_own(clock: SimpleNamespace) -> None:
    lengths = TickLengths()
    for rows, seconds in ((16, 0.014), (64, 0.04), (8, 0.010)):
        ticks(lengths, ("flood", rows), seconds=seconds)
    ticks(lengths, ("light", 1), ("flood", 63), seconds=0.04)
    assert lengths.most_rows("program", 256) == 8


def test_a_length_that_nobody_knows_is_tried(clock: SimpleNamespace) -> None:
    lengths = TickLengths()
    ticks(lengths, ("flood", 256), seconds=0.08)
    ticks(lengths, ("light", 1), seconds=0.010)
    assert lengths.most_rows("program", 256) == 8
    ticks(lengths, ("flood", 8), seconds=0.010)
    assert lengths.most_rows("program", 256) == 16
    ticks(lengths, ("flood", 16), seconds=0.010)
    assert lengths.most_rows("program", 256) == 32
    ticks(lengths, ("flood", 32), seconds=0.02)
    assert lengths.most_rows("program", 256) == 16


def test_keys_of_the_same_weight_fill_their_ticks(clock: SimpleNamespace) -> None:
    lengths = TickLengths()
    for tenant in ("a", "b"):
        ticks(lengths, (tenant, 256), seconds=0.08)
    assert lengths.most_rows("program", 256) == 256


def test_a_few_addresses_get_short_ticks_as_keys_do(clock: SimpleNamespace) -> None:
    lengths = TickLengths()
    for rows, seconds in ((1, 0.010), (16, 0.011), (32, 0.02), (256, 0.08)):
        ticks(lengths, ("@127.0.0.1", rows), seconds=seconds)
    assert lengths.most_rows("program", 256) == 256
    ticks(lengths, ("@127.0.0.2", 1), seconds=0.010)
    assert lengths.most_rows("program", 256) == 16


def test_of_many_addresses_ticks_stay_long_and_those_that_ask_no_more_are_forgotten(clock: SimpleNamespace) -> None:
    lengths = TickLengths()
    ticks(lengths, ("@127.0.0.1", 256), seconds=0.08)
    for number in range(1000):
        ticks(lengths, (f"@10.0.0.{number}", 1), seconds=0.010)
    assert lengths.most_rows("program", 256) == 256
    clock.now += 2
    ticks(lengths, ("@127.0.0.1", 256), ("@127.0.0.2", 1), seconds=0.08)
    assert lengths.most_rows("program", 256) == 8


def test_what_the_service_asks_of_itself_shortens_no_tick(clock: SimpleNamespace) -> None:
    lengths = TickLengths()
    for rows, seconds in ((1, 0.010), (256, 0.08)):
        ticks(lengths, ("@127.0.0.1", rows), seconds=seconds)
    ticks(lengths, ("", 1), seconds=0.010)
    assert lengths.most_rows("program", 256) == 256
