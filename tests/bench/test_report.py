"""What was reached stands beside what was asked, and says whether it holds."""

from __future__ import annotations

from bench.side_by_side.report import Row, rows


def test_rows_say_whether_they_hold() -> None:
    found = rows(Row("work", "much", "little", holds) for holds in (True, False, None))
    assert [line.split("|")[4].strip() for line in found] == ["holds", "---:", "yes", "no", "not measured"]
