"""The scheduler: who shares a tick, who waits, who is harmed by whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from service.device.columns import Columns
from service.protocol.errors import DeadlinePassed, Problem, Unavailable, Unexpected
from tests.service.device.toys import BAD, FATAL, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@dataclass
class EverySecondTick:
    seen: list[tuple[int, list[int], list[int]]] = field(default_factory=list)

    def due(self, ticks: int) -> bool:
        return ticks % 2 == 0

    def show(self, index: Tensor, ticks: int, view: Columns) -> None:
        self.seen.append((ticks, index.tolist(), view["value"].tolist()))


def test_what_waits_when_the_device_is_free_shares_the_next_tick(bench: Bench) -> None:
    first = bench.submit([1])
    bench.tick()
    others = [bench.submit([i]) for i in (2, 3, 4)]
    bench.run()
    assert first.values == [2]
    assert [other.values for other in others] == [[4], [6], [8]]
    assert bench.ticks == [("short", [1]), ("short", [2, 3, 4])]


def test_a_large_job_is_cut_and_its_results_keep_their_order(bench: Bench) -> None:
    numbers = list(range(1, 51))
    job = bench.submit(numbers)
    bench.run()
    assert job.values == [2 * i for i in numbers]
    assert len(bench.ticks) == 4


def test_small_jobs_share_the_tick_of_a_large_ones_end(bench: Bench) -> None:
    large, small = bench.submit([2] * 20), bench.submit([3] * 20)
    bench.run()
    assert large.values == [4] * 20
    assert small.values == [6] * 20
    assert [kinds for _, kinds in bench.ticks] == [[2], [2, 3], [3]]


@pytest.mark.parametrize(("kind", "length"), [("short", 1), ("long", 3)])
def test_a_large_job_waits_once_and_its_work_is_counted_as_it_was_queued(bench: Bench, kind: str, length: int) -> None:
    job = bench.submit([1] * 40, length, costs=[5] * 40)
    assert bench.account.waiting == 200 * length
    bench.run()
    assert job.values == [2**length] * 40
    read = bench.metrics.registry.get_sample_value
    series = {"kind": kind, "model": "toy@1"}
    assert read("sluice_item_ticks_total", series) == 200 * length
    assert read("sluice_model_jobs_total", series) == 1
    assert read("sluice_queue_wait_seconds_count", {"kind": kind}) == 1


def test_a_warm_up_is_no_job_that_waited(bench: Bench) -> None:
    bench.submit([1], costs=[0])
    bench.run()
    assert bench.metrics.registry.get_sample_value("sluice_queue_wait_seconds_count", {"kind": "short"}) is None


def test_long_and_short_work_alternate(bench: Bench) -> None:
    long = bench.submit([1], length=6)
    bench.tick()
    short = [bench.submit([i] * 16) for i in (3, 5, 7)]
    bench.run()
    assert long.values == [64]
    assert [s.values for s in short] == [[6] * 16, [10] * 16, [14] * 16]
    kinds = [kind for kind, _ in bench.ticks]
    assert kinds == ["long", "short", "long", "short", "long", "short", "long", "long", "long"]


def test_however_many_long_programs_there_are_a_short_one_waits_for_one_tick(bench: Bench) -> None:
    models = [SimpleNamespace(reference=f"toy@{version}") for version in (1, 2, 3)]
    longs = [bench.submit([1], length=4, model=model) for model in models]
    bench.tick()
    short = bench.submit([3])
    bench.run()
    assert short.values == [6]
    assert [long.values for long in longs] == [[16]] * 3
    assert bench.ticks[1] == ("short", [3])
    after = [rows for kind, rows in bench.ticks if kind == "long"]
    assert after == [[1 << step] for step in range(4) for _ in models], "the long ones take turns"


def test_jobs_join_and_leave_a_long_batch_between_ticks(bench: Bench) -> None:
    long = bench.submit([1], length=5)
    bench.tick()
    joining = bench.submit([100], length=2)
    bench.run()
    assert joining.values == [400]
    assert long.values == [32]
    assert [rows for _, rows in bench.ticks] == [[1], [2, 100], [4, 200], [8], [16]]


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("ticks_before", [0, 1])
def test_a_client_that_leaves_harms_no_neighbour(bench: Bench, length: int, ticks_before: int) -> None:
    leaver, neighbour = bench.submit([2], length), bench.submit([3], length)
    for _ in range(ticks_before):
        bench.tick()
    finished = length <= ticks_before
    assert leaver.job.drop() is not finished
    bench.run()
    assert leaver.values == ([4] if finished else None)
    assert leaver.problem is None, "its owner hears nothing more"
    assert neighbour.values == [3 * 2**length]
    assert bench.account.waiting == 0
    assert bench.account.jobs == 0


def test_a_dropped_job_takes_no_further_ticks(bench: Bench) -> None:
    leaver = bench.submit([1], length=100)
    bench.tick()
    waiting = bench.submit([2] * 16, length=100)
    waiting.job.drop()
    leaver.job.drop()
    last = bench.submit([5])
    bench.run()
    assert last.values == [10]
    assert [kind for kind, _ in bench.ticks] == ["long", "short"]
    assert bench.account.waiting == 0


def test_one_bad_row_fails_alone(bench: Bench) -> None:
    jobs = {number: bench.submit([number]) for number in (10, 11, BAD, 12, 13)}
    bench.run()
    for number, job in jobs.items():
        if number == BAD:
            assert isinstance(job.problem, Unexpected)
        else:
            assert job.values == [2 * number]


def test_one_bad_row_of_a_long_batch_fails_alone_and_the_others_go_on(bench: Bench) -> None:
    jobs = {number: bench.submit([number], length=3) for number in (10, BAD, 12)}
    bench.run()
    assert isinstance(jobs[BAD].problem, Unexpected)
    assert [jobs[number].values for number in (10, 12)] == [[80], [96]]
    assert bench.account.waiting == 0


def test_out_of_memory_halves_the_batch_and_answers_all(bench: Bench) -> None:
    bench.memory = 8
    numbers = list(range(1, 41))
    job = bench.submit(numbers)
    bench.run()
    assert job.values == [2 * i for i in numbers]
    failures = len([rows for _, rows in bench.ticks if len(rows) > 8])
    assert failures == 1, "the smaller batch is remembered"


def test_out_of_memory_halves_a_long_batch_without_losing_a_step(bench: Bench) -> None:
    bench.memory = 8
    jobs = [bench.submit([number], length=3) for number in range(1, 15)]
    bench.run()
    assert [job.values for job in jobs] == [[8 * number] for number in range(1, 15)]


def test_memory_that_does_not_hold_one_row_fails_that_job(bench: Bench) -> None:
    bench.memory = 0
    job = bench.submit([1, 2])
    bench.run()
    assert isinstance(job.problem, Unavailable)
    bench.memory = 100
    job = bench.submit([3])
    bench.run()
    assert job.values == [6]


def test_a_library_without_memory_of_its_own_halves_the_batch_too(bench: Bench) -> None:
    bench.memory, bench.shortage = 8, RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")
    numbers = list(range(1, 17))
    job = bench.submit(numbers)
    bench.run()
    assert job.values == [2 * i for i in numbers]


def test_a_halved_batch_grows_again_once_there_is_memory(bench: Bench) -> None:
    bench.memory = 8
    bench.submit(list(range(1, 17)))
    bench.run()
    bench.memory = 100
    for _ in range(101):
        bench.submit([1])
        bench.run()
    bench.ticks.clear()
    bench.submit(list(range(1, 17)))
    bench.run()
    assert len(bench.ticks) == 1


def test_a_deadline_holds_in_the_queue_and_between_ticks(bench: Bench) -> None:
    late = bench.submit([1], length=1000, seconds=-1)
    bench.run()
    assert isinstance(late.problem, DeadlinePassed)
    assert bench.ticks == []
    begun = bench.submit([1], length=1000)
    bench.tick()
    begun.job.deadline = 0.0
    bench.run()
    assert isinstance(begun.problem, DeadlinePassed)
    assert len(bench.ticks) == 1
    assert bench.account.waiting == 0


def test_a_lost_device_is_not_survived(bench: Bench) -> None:
    bench.submit([FATAL])
    with pytest.raises(torch.AcceleratorError):
        bench.run()


def test_ending_everything_fails_what_waits_once(bench: Bench) -> None:
    inside, waiting = bench.submit([1], length=1000), bench.submit([2] * 40)
    bench.tick()
    bench.scheduler.fail_all(Unavailable("over"))
    assert isinstance(inside.problem, Unavailable)
    assert isinstance(waiting.problem, Unavailable)
    assert not bench.scheduler
    assert bench.account.waiting == 0


def test_what_a_tick_works_off_leaves_the_account(bench: Bench) -> None:
    bench.submit([1, 2], length=10)
    left = []
    while bench.scheduler:
        left.append(bench.account.waiting)
        bench.tick()
    assert left == list(range(20, 0, -2))
    assert (bench.account.waiting, bench.account.jobs) == (0, 0)
    assert bench.account.pace is not None
    assert bench.account.pace > 0


def test_rows_that_cost_more_leave_the_account_at_their_cost(bench: Bench) -> None:
    bench.submit([1, 2], length=3, costs=[4, 4])
    bench.submit([3, 5], costs=[1, 256])
    left = []
    while bench.scheduler:
        left.append(bench.account.waiting)
        bench.tick()
    assert left[0] == 24 + 257
    assert sorted(before - after for before, after in zip(left, [*left[1:], 0], strict=True)) == [8, 8, 8, 257]


def test_the_pace_is_in_the_unit_in_which_work_is_admitted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    monkeypatch.setattr(bench.account, "measure", lambda item_ticks, seconds: measured.append(item_ticks))
    bench.submit([3, 5], costs=[1, 256])
    bench.run()
    bench.submit([3, 5])
    bench.run()
    assert measured == [257, 2]


def test_an_observer_sees_its_own_rows_at_the_ticks_that_it_wants(bench: Bench) -> None:
    first = bench.submit([1], length=9)
    bench.tick()
    one, other = EverySecondTick(), EverySecondTick()
    jobs = [bench.submit([3, 5], 5, observer=one), bench.submit([7], 2, observer=other)]
    bench.run()
    assert [job.values for job in jobs] == [[96, 160], [28]]
    assert first.values == [512]
    assert one.seen == [(2, [0, 1], [12, 20]), (4, [0, 1], [48, 80])]
    assert other.seen == [(2, [0], [28])]


def test_an_observer_of_a_job_larger_than_a_batch_sees_every_row(bench: Bench) -> None:
    observer = EverySecondTick()
    numbers = list(range(1, 41))
    bench.submit(numbers, 3, observer=observer)
    bench.run()
    seen = {row: value for _, index, view in observer.seen for row, value in zip(index, view, strict=True)}
    assert seen == {row: 4 * value for row, value in enumerate(numbers)}


def test_a_stopped_job_is_answered_after_one_more_tick_and_its_neighbour_goes_on(bench: Bench) -> None:
    running, neighbour = bench.submit([1], 1000), bench.submit([3], 4)
    bench.tick()
    waiting = bench.submit([5] * 40, 100)
    running.job.stop()
    waiting.job.stop()
    bench.run()
    assert running.values == [4]
    assert waiting.values == [10] * 40
    assert neighbour.values == [48]
    assert bench.account.waiting == 0


def test_rows_of_one_job_that_end_at_different_ticks_come_back_in_order(bench: Bench) -> None:
    job = bench.submit([1, 2, 3], length=2)
    job.job.columns.tensors["length"][:] = torch.tensor([3, 1, 2])
    bench.run()
    assert job.values == [8, 4, 12]


def test_a_problem_of_the_model_is_told_and_anything_else_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def enter(kind: str, values: Tensor) -> None:
        raise Problem("known") if 1 in values else ArithmeticError("secret")

    monkeypatch.setattr(bench, "enter", enter)
    known, unknown = bench.submit([1]), bench.submit([2])
    bench.run()
    assert known.problem is not None
    assert unknown.problem is not None
    assert (known.problem.detail, "secret" in unknown.problem.detail) == ("known", False)
    assert "secret" in caplog.text
