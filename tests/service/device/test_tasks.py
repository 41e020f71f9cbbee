"""Inpaintings that outlive their request: bounded in number, forgotten with age, one for each id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from service.device import tasks
from service.device.tasks import Tasks
from service.protocol.errors import Conflict, QueueFull, Unknown
from service.protocol.messages import TaskKey


@dataclass
class Work:
    """What Tasks needs to know of an inpainting."""

    ended: bool = False
    on_end: Any = None

    def end(self) -> None:
        self.ended = True
        self.on_end()


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tasks, "time", clock)
    return clock


def add(kept: Tasks, name: str, ended: bool = False) -> Any:
    return kept.add(TaskKey(name, "asked"), lambda: Work(ended))  # type: ignore[arg-type, return-value]


def test_the_same_key_is_the_same_task_and_another_fingerprint_a_conflict(clock: Clock) -> None:
    kept = Tasks(2, 10, lambda: 7)
    work = add(kept, "a")
    assert kept.same(TaskKey("a", "asked")) is kept.get("a") is work
    assert kept.same(TaskKey("b", "asked")) is None
    with pytest.raises(Conflict):
        kept.same(TaskKey("a", "something else"))
    with pytest.raises(Unknown):
        kept.get("b")


def test_what_has_ended_makes_room_the_oldest_first_and_what_runs_does_not(clock: Clock) -> None:
    kept = Tasks(2, 1000, lambda: 7)
    first, second = add(kept, "first"), add(kept, "second")
    with pytest.raises(QueueFull) as refusal:
        add(kept, "third")
    assert refusal.value.retry_after == 7
    second.end()
    clock.now += 1
    first.end()
    add(kept, "third")
    assert kept.get("first") is first
    with pytest.raises(Unknown):
        kept.get("second")


def test_a_refused_task_is_not_begun(clock: Clock) -> None:
    kept, begun = Tasks(1, 1000, lambda: 1), []
    add(kept, "runs")

    def begin() -> Any:
        begun.append(1)

    with pytest.raises(QueueFull):
        kept.add(TaskKey("refused", ""), begin)
    assert begun == []


def test_a_refused_task_takes_nobody_s_place(clock: Clock) -> None:
    kept = Tasks(1, 1000, lambda: 1)
    ended = add(kept, "ended", ended=True)

    def refuse() -> Any:
        raise QueueFull(3)

    with pytest.raises(QueueFull):
        kept.add(TaskKey("refused", ""), refuse)
    assert kept.get("ended") is ended
    add(kept, "next")
    with pytest.raises(Unknown):
        kept.get("ended")


def test_a_result_is_kept_for_a_while_and_what_runs_for_ever(clock: Clock) -> None:
    kept = Tasks(9, 10, lambda: 1)
    runs, ends, over = add(kept, "runs"), add(kept, "ends"), add(kept, "over at once", ended=True)
    ends.end()
    clock.now += 9
    assert kept.get("ends") is ends
    assert kept.get("over at once") is over
    clock.now += 2
    for name in ("ends", "over at once"):
        with pytest.raises(Unknown):
            kept.get(name)
    clock.now += 1e6
    assert kept.get("runs") is runs
