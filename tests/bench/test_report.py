"""Figures go between the marks of a page, and the rest of the page stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.side_by_side.report import BEGIN, END, Row, rows, write_into


def test_write_into_replaces_what_is_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    write_into(page, "new")
    assert page.read_text("utf-8") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n", "utf-8")
    with pytest.raises(SystemExit):
        write_into(page, "new")
    assert page.read_text("utf-8") == "before\n"


def test_rows_say_whether_they_hold() -> None:
    found = rows(Row("work", "much", "little", holds) for holds in (True, False, None))
    assert [line.split("|")[4].strip() for line in found] == ["holds", "---:", "yes", "no", "not measured"]
