"""Busy processes run while they are wanted, and the rows compare with the quiet time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.side_by_side import cpu_group, neighbours, processes
from bench.side_by_side.report import Row


def test_neighbours_are_busy_and_killed_at_the_end() -> None:
    with neighbours.neighbours(2) as found:
        members = [busy.pid for busy in found]
        assert len(set(members)) == 2
        assert all(processes.cpu_seconds([member]) > 0 for member in members)
        assert all(os.getpriority(os.PRIO_PROCESS, member) == os.nice(0) for member in members)
    assert not any(Path(f"/proc/{member}").exists() for member in members)


def test_neighbours_are_killed_when_the_measurement_fails() -> None:
    members: list[int] = []

    def measure() -> None:
        with neighbours.neighbours(1) as found:
            members.extend(busy.pid for busy in found)
            raise RuntimeError("the server is gone")

    with pytest.raises(RuntimeError, match="the server is gone"):
        measure()
    assert len(members) == 1
    assert not Path(f"/proc/{members[0]}").exists()


@contextmanager
def no_server(*_: object) -> Iterator[str]:
    yield "http://127.0.0.1:9"


@contextmanager
def no_group(_: float) -> Iterator[Path]:
    raise cpu_group.NoCpuGroup("no writable cpu control group")
    yield


def test_rows_are_ratios_to_the_quiet_time(monkeypatch: pytest.MonkeyPatch) -> None:
    medians = iter([{"score": 0.010}, {"score": 0.012}, {"score": 0.030}])
    monkeypatch.setattr(neighbours, "_server", no_server)
    monkeypatch.setattr(neighbours, "times", lambda _: next(medians))
    monkeypatch.setattr(cpu_group, "limited", no_group)
    found = list(neighbours.measured())
    lines = [line for line in found if isinstance(line, str)]
    rows = [row for row in found if isinstance(row, Row)]
    assert lines[-1] == "| score | 10.0 ms | 12.0 ms | 30.0 ms |"
    assert rows[0] == (
        "score, beside one busy process",
        "1.5 times the quiet time",
        "1.20 times: 12.0 ms, 10.0 ms quiet",
        True,
    )
    assert (rows[1].reached, rows[1].holds) == ("3.00 times: 30.0 ms, 10.0 ms quiet", False)
    assert (rows[2].reached, rows[2].holds) == ("not run: no writable cpu control group", None)
