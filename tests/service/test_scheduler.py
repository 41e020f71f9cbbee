"""The scheduler: who shares a tick, who waits, who is harmed by whom. The device is a gate that the test opens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import service.scheduler
from service.admission import Admission
from service.columns import Columns
from service.errors import DeadlinePassed, Unavailable
from service.jobs import Job, Observer
from service.metrics import Metrics
from service.programs import Program
from service.scheduler import Scheduler

WAIT = 20


@dataclass
class Device:
    """Notes each tick's kind and rows; closed, it holds a tick until it is opened."""

    ticks: list[tuple[str, list[int]]] = field(default_factory=list)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: threading.Event = field(default_factory=threading.Event)
    memory: int = 10_000

    def tick(self, kind: str, values: Tensor) -> None:
        self.ticks.append((kind, sorted(set(values.tolist()))))
        self.entered.release()
        assert self.gate.wait(WAIT)
        if len(values) > self.memory:
            raise torch.OutOfMemoryError("too many rows")
        if (values == BAD).any():
            raise ArithmeticError("a bad row")
        if (values == FATAL).any():
            raise torch.AcceleratorError("the device is lost")

    def next_tick(self) -> None:
        assert self.entered.acquire(timeout=WAIT)


BAD, FATAL = 666, 667


@dataclass(frozen=True)
class Double(Program[Columns]):
    """Doubles its rows' values, once a tick, for so many ticks."""

    device: Device
    length: int = 1

    @property
    def kind(self) -> str:  # type: ignore[override]
        return "long" if self.length > 1 else "short"

    @property
    def iterative(self) -> bool:  # type: ignore[override]
        return self.length > 1

    @property
    def rows_multiple(self) -> int:
        return 8

    def start(self, columns: Columns) -> Columns:
        return Columns(value=columns["value"], left=columns["length"])

    def step(self, rows: Columns) -> Columns:
        self.device.tick(self.kind, rows["value"])
        return Columns(value=rows["value"] * 2, left=rows["left"] - 1)

    def done(self, rows: Columns) -> Tensor:
        return rows["left"] == 0

    def result(self, rows: Columns) -> Columns:
        return Columns(value=rows["value"])


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def admission() -> Admission:
    return Admission(10_000)


@pytest.fixture
def scheduler(device: Device, admission: Admission) -> Iterator[Scheduler]:
    started = Scheduler(admission, 16, Metrics())
    started.start()
    yield started
    device.gate.set()
    started.stop()


MODEL: Any = SimpleNamespace(reference="toy@1")


def submit(
    scheduler: Scheduler, device: Device, values: list[int], length: int = 1, seconds: float = WAIT, model: Any = MODEL
) -> Future[Columns]:
    return submit_job(scheduler, device, values, length, seconds, model).future


def submit_job(
    scheduler: Scheduler,
    device: Device,
    values: list[int],
    length: int,
    seconds: float = WAIT,
    model: Any = MODEL,
    observer: Observer | None = None,
) -> Job:
    ticket = scheduler._admission.admit(len(values) * length)
    columns = Columns(value=torch.tensor(values), length=torch.full((len(values),), length))
    job = Job(Double(model, device, length), columns, ticket, time.monotonic() + seconds, observer)
    scheduler.submit(job)
    return job


@dataclass
class EverySecondTick:
    seen: list[tuple[int, list[int], list[int]]] = field(default_factory=list)

    def due(self, ticks: int) -> bool:
        return ticks % 2 == 0

    def show(self, index: Tensor, ticks: int, view: Columns) -> None:
        self.seen.append((ticks, index.tolist(), view["value"].tolist()))


def values(future: Future[Columns]) -> list[int]:
    found: list[int] = future.result(WAIT)["value"].tolist()
    return found


def test_what_waits_when_the_device_is_free_shares_the_next_tick(scheduler: Scheduler, device: Device) -> None:
    first = submit(scheduler, device, [1])
    device.next_tick()
    others = [submit(scheduler, device, [i]) for i in (2, 3, 4)]
    device.gate.set()
    assert values(first) == [2]
    assert [values(other) for other in others] == [[4], [6], [8]]
    assert device.ticks == [("short", [1]), ("short", [2, 3, 4])]


def test_a_large_job_is_cut_and_its_results_keep_their_order(scheduler: Scheduler, device: Device) -> None:
    device.gate.set()
    numbers = list(range(1, 51))
    assert values(submit(scheduler, device, numbers)) == [2 * i for i in numbers]
    assert len(device.ticks) == 4


def test_small_jobs_share_the_tick_of_a_large_ones_end(scheduler: Scheduler, device: Device) -> None:
    first = submit(scheduler, device, [1])
    device.next_tick()
    large, small = submit(scheduler, device, [2] * 20), submit(scheduler, device, [3] * 20)
    device.gate.set()
    assert values(first) == [2]
    assert values(large) == [4] * 20
    assert values(small) == [6] * 20
    assert [kinds for _, kinds in device.ticks] == [[1], [2], [2, 3], [3]]


def test_long_and_short_work_alternate(scheduler: Scheduler, device: Device) -> None:
    long = submit(scheduler, device, [1], length=6)
    device.next_tick()
    short = [submit(scheduler, device, [i] * 16) for i in (3, 5, 7)]
    device.gate.set()
    assert values(long) == [64]
    assert [values(s)[0] for s in short] == [6, 10, 14]
    assert [kind for kind, _ in device.ticks] == [
        "long",
        "short",
        "long",
        "short",
        "long",
        "short",
        "long",
        "long",
        "long",
    ]


def test_however_many_long_programs_there_are_a_short_one_waits_for_one_tick(
    scheduler: Scheduler, device: Device
) -> None:
    models = [SimpleNamespace(reference=f"toy@{version}") for version in (1, 2, 3)]
    longs = [submit(scheduler, device, [1], length=4, model=model) for model in models]
    device.next_tick()
    short = submit(scheduler, device, [3])
    device.gate.set()
    assert values(short) == [6]
    assert [values(long) for long in longs] == [[16]] * 3
    assert device.ticks[1] == ("short", [3])
    after = [rows for kind, rows in device.ticks if kind == "long"]
    assert after == [[1 << step] for step in range(4) for _ in models], "the long ones take turns"


def test_jobs_join_and_leave_a_long_batch_between_ticks(scheduler: Scheduler, device: Device) -> None:
    long = submit(scheduler, device, [1], length=5)
    device.next_tick()
    joining = submit(scheduler, device, [100], length=2)
    device.gate.set()
    assert values(joining) == [400]
    assert values(long) == [32]
    assert [rows for _, rows in device.ticks] == [[1], [2, 100], [4, 200], [8], [16]]


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_client_that_leaves_harms_no_neighbour(scheduler: Scheduler, device: Device, when: str) -> None:
    blocker = submit(scheduler, device, [1])
    device.next_tick()
    leaver, neighbour = submit(scheduler, device, [2]), submit(scheduler, device, [3])
    if when == "before":
        assert leaver.cancel()
    device.gate.set()
    assert values(blocker) == [2]
    if when == "during":
        device.gate.clear()
        leaver, neighbour = submit(scheduler, device, [2], length=3), submit(scheduler, device, [3], length=3)
        device.entered.acquire(timeout=WAIT)
        leaver.cancel()
        device.gate.set()
    assert values(neighbour) in ([6], [24])
    if when == "after":
        assert values(leaver) == [4]
        assert not leaver.cancel()
    assert values(submit(scheduler, device, [9])) == [18]


def test_a_cancelled_job_takes_no_further_ticks(scheduler: Scheduler, device: Device, admission: Admission) -> None:
    leaver = submit(scheduler, device, [1], length=100)
    device.next_tick()
    waiting = submit(scheduler, device, [2] * 16, length=100)
    waiting.cancel()
    leaver.cancel()
    device.gate.set()
    assert values(submit(scheduler, device, [5])) == [10]
    assert [kind for kind, _ in device.ticks] == ["long", "short"]


def test_one_bad_row_fails_alone(scheduler: Scheduler, device: Device) -> None:
    blocker = submit(scheduler, device, [1])
    device.next_tick()
    jobs = {number: submit(scheduler, device, [number]) for number in (10, 11, BAD, 12, 13)}
    device.gate.set()
    assert values(blocker) == [2]
    for number, future in jobs.items():
        if number == BAD:
            with pytest.raises(ArithmeticError):
                future.result(WAIT)
        else:
            assert values(future) == [2 * number]
    assert scheduler.alive


def test_out_of_memory_halves_the_batch_and_answers_all(scheduler: Scheduler, device: Device) -> None:
    device.memory = 8
    device.gate.set()
    numbers = list(range(1, 41))
    assert values(submit(scheduler, device, numbers)) == [2 * i for i in numbers]
    failures = len([rows for _, rows in device.ticks if len(rows) > 8])
    assert failures == 1, "the smaller batch is remembered"


def test_memory_that_does_not_hold_one_row_fails_that_job(scheduler: Scheduler, device: Device) -> None:
    device.memory = 0
    device.gate.set()
    with pytest.raises(Unavailable):
        submit(scheduler, device, [1, 2]).result(WAIT)
    device.memory = 100
    assert values(submit(scheduler, device, [3])) == [6]


def test_a_deadline_holds_in_the_queue_and_between_ticks(scheduler: Scheduler, device: Device) -> None:
    long = submit(scheduler, device, [1], length=1000, seconds=0)
    with pytest.raises(DeadlinePassed):
        long.result(WAIT)
    assert device.ticks == []
    begun = submit(scheduler, device, [1], length=1000, seconds=0.2)
    device.next_tick()
    time.sleep(0.3)
    device.gate.set()
    with pytest.raises(DeadlinePassed):
        begun.result(WAIT)
    assert len(device.ticks) == 1


def test_a_lost_device_ends_the_thread_and_fails_everyone(scheduler: Scheduler, device: Device) -> None:
    dying = submit(scheduler, device, [FATAL])
    device.next_tick()
    waiting = submit(scheduler, device, [1], length=5)
    device.gate.set()
    for future in (dying, waiting):
        with pytest.raises(Unavailable):
            future.result(WAIT)
    scheduler._thread.join(WAIT)
    assert not scheduler.alive
    with pytest.raises(Unavailable):
        submit(scheduler, device, [1])


def test_stopping_fails_what_waits(scheduler: Scheduler, device: Device) -> None:
    inside = submit(scheduler, device, [1], length=1000)
    device.next_tick()
    stopper = threading.Thread(target=scheduler.stop)
    stopper.start()
    while not scheduler._stopping:
        time.sleep(0.001)
    device.gate.set()
    stopper.join(WAIT)
    with pytest.raises(Unavailable):
        inside.result(WAIT)


def test_tickets_are_given_back_by_ticks(scheduler: Scheduler, device: Device, admission: Admission) -> None:
    job = submit(scheduler, device, [1, 2], length=10)
    device.next_tick()
    assert admission.waiting == 20
    device.gate.set()
    assert values(job) == [1024, 2048]
    assert admission.waiting == 0


def test_an_observer_sees_its_own_rows_at_the_ticks_that_it_wants(scheduler: Scheduler, device: Device) -> None:
    first = submit(scheduler, device, [1], length=9)
    device.next_tick()
    one, other = EverySecondTick(), EverySecondTick()
    jobs = [
        submit_job(scheduler, device, [3, 5], 5, observer=one),
        submit_job(scheduler, device, [7], 2, observer=other),
    ]
    device.gate.set()
    assert [values(job.future) for job in jobs] == [[96, 160], [28]]
    assert values(first) == [512]
    assert one.seen == [(2, [0, 1], [12, 20]), (4, [0, 1], [48, 80])]
    assert other.seen == [(2, [0], [28])]


def test_an_observer_of_a_job_larger_than_a_batch_sees_every_row(scheduler: Scheduler, device: Device) -> None:
    observer = EverySecondTick()
    device.gate.set()
    numbers = list(range(1, 41))
    values(submit_job(scheduler, device, numbers, 3, observer=observer).future)
    seen = {row: value for _, index, view in observer.seen for row, value in zip(index, view, strict=True)}
    assert seen == {row: 4 * value for row, value in enumerate(numbers)}


def test_a_stopped_job_is_answered_after_one_more_tick_and_its_neighbour_goes_on(
    scheduler: Scheduler, device: Device, admission: Admission
) -> None:
    running, neighbour = submit_job(scheduler, device, [1], 1000), submit_job(scheduler, device, [3], 4)
    device.next_tick()
    waiting = submit_job(scheduler, device, [5] * 40, 100)
    running.stop()
    waiting.stop()
    device.gate.set()
    assert values(running.future) in ([2], [4])
    assert values(waiting.future) == [10] * 40
    assert values(neighbour.future) == [48]
    assert admission.waiting == 0


def test_small_requests_wait_while_they_are_held_back_and_then_share_a_tick(
    scheduler: Scheduler, device: Device
) -> None:
    device.gate.set()
    scheduler.hold()
    futures = [submit(scheduler, device, [value]) for value in (1, 2, 3)]
    time.sleep(0.02)
    assert not device.ticks
    scheduler.release()
    assert [values(future) for future in futures] == [[2], [4], [6]]
    assert device.ticks == [("short", [1, 2, 3])]


def test_what_takes_many_ticks_waits_before_its_first_and_then_begins_with_others(
    scheduler: Scheduler, device: Device
) -> None:
    device.gate.set()
    scheduler.hold()
    futures = [submit(scheduler, device, [value], length=2) for value in (1, 3, 5)]
    time.sleep(0.02)
    assert not device.ticks
    scheduler.release()
    assert [values(future) for future in futures] == [[4], [12], [20]]
    assert device.ticks == [("long", [1, 3, 5]), ("long", [2, 6, 10])]


@pytest.mark.parametrize(("rows", "length"), [(16, 1), (16, 2)])
def test_what_is_large_is_never_held_back_and_takes_the_small_along(
    scheduler: Scheduler, device: Device, monkeypatch: pytest.MonkeyPatch, rows: int, length: int
) -> None:
    monkeypatch.setattr(service.scheduler, "_PATIENCE", WAIT)
    device.gate.set()
    scheduler.hold()
    small = submit(scheduler, device, [1])
    began = time.monotonic()
    large = submit(scheduler, device, [5] * rows, length)
    assert values(large) == [5 * 2**length] * rows
    assert values(small) == [2]
    assert time.monotonic() - began < WAIT / 2


def test_nothing_is_held_back_while_something_has_begun(
    scheduler: Scheduler, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.scheduler, "_PATIENCE", WAIT)
    begun = submit(scheduler, device, [1], length=6)
    device.next_tick()
    scheduler.hold()
    began = time.monotonic()
    joining = submit(scheduler, device, [100], length=2)
    device.gate.set()
    assert values(joining) == [400]
    assert values(begun) == [64]
    assert time.monotonic() - began < WAIT / 2


def test_nothing_is_held_back_for_long(scheduler: Scheduler, device: Device) -> None:
    device.gate.set()
    scheduler.hold()  # and whoever should release it is gone
    assert values(submit(scheduler, device, [1])) == [2]
    assert values(submit(scheduler, device, [2])) == [4]
