"""When memory is given back: every ten seconds under load, and once after it."""

from __future__ import annotations

import pytest

from service import heap


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.times = 1000.0, list[float]()
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr(heap, "trim", lambda: self.times.append(self.now - 1000))


def test_memory_is_given_back_under_load_and_once_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    trimmer = heap.Trimmer()
    for second in range(1, 60):
        clock.now = 1000.0 + second
        trimmer.look(min(second, 25))
    assert clock.times == [10, 20, 27]


def test_an_idle_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    trimmer = heap.Trimmer()
    trimmer.look(0)
    for second in range(1, 60):
        clock.now = 1000.0 + second
        trimmer.look(0)
    assert clock.times == []


def test_what_a_circle_holds_is_given_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Circle:
        gone = 0

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Circle.gone += 1

    clock = Clock(monkeypatch)
    trimmer = heap.Trimmer()
    Circle()
    clock.now += 11
    trimmer.look("worked")
    assert Circle.gone == 1
    assert len(clock.times) == 1
