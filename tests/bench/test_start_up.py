"""The median of later starts counts; the first one is told."""

from __future__ import annotations

import pytest

from bench.side_by_side import start_up
from bench.side_by_side.report import Row
from bench.side_by_side.start_up import Start


def test_rows_tell_the_median_and_the_first_start(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = iter([Start(9, 20), Start(3, 12), Start(3.5, 11), Start(5, 9)])
    monkeypatch.setattr(start_up, "measure", lambda _: next(starts))
    beside = Row("scores", "1.5 times", "1.2 times", True)
    monkeypatch.setattr(start_up, "beside_loading", lambda _: beside)
    ready, every, loading = start_up.rows()
    assert loading is beside
    assert (ready.reached, ready.holds) == ("3.5 s, median of 3; the first start took 9.0 s", True)
    assert (every.reached, every.holds) == ("11.0 s, median of 3; the first start took 20.0 s", False)
