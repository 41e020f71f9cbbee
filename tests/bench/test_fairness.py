"""A row of fairness counts only where the flood was one."""

from __future__ import annotations

import pytest

from bench.side_by_side import fairness
from bench.side_by_side.load import Load, NoLoad, Request

STEADY = Load(1.0, 100, 5.0, 10.0, 0, 0)
REFUSED = Load(1.0, 50, 1.0, 2.0, 50, 0)


def turn(monkeypatch: pytest.MonkeyPatch, flood: Load | Exception, queued: float) -> fairness.Turn:
    def drive(*_: object) -> Load:
        if isinstance(flood, Exception):
            raise flood
        return flood

    monkeypatch.setattr(fairness, "drive", drive)
    return fairness._turn("", lambda *_: STEADY, Request("/steady"), Request("/flood"), 1.0, lambda: queued)


def test_a_flood_with_good_answers_or_with_work_in_the_queue_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, waiting = turn(monkeypatch, STEADY, 0.0), turn(monkeypatch, REFUSED, 2.0)
    row = fairness._row("key", "batches", [answered, waiting])
    assert row.holds
    assert row.reached == "1.0 times: 10.0 ms, alone 10.0 ms"


def test_a_flood_without_good_answers_fails_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = fairness._row("key", "batches", [turn(monkeypatch, STEADY, 0.0), turn(monkeypatch, REFUSED, 0.0)])
    assert not row.holds
    assert row.reached.endswith(", a flood got no good answer")


def test_a_flood_that_fails_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoLoad, match="wrk ended"):
        turn(monkeypatch, NoLoad("wrk ended with 1"), 0.0)
