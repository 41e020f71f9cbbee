"""Figures go where a page wants them, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.page import END, begin, write_into

COMMAND = "make something"
BEGIN = begin(COMMAND)


def test_figures_replace_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for figures in ("new", "newer"):
        write_into(page, COMMAND, figures)
        assert page.read_text() == f"before\n{BEGIN}\n{figures}\n{END}\nafter\n"


@pytest.mark.parametrize("content", ["", BEGIN, f"{END}\n{BEGIN}"])
def test_a_page_without_the_marks_is_left_alone(tmp_path: Path, content: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(content)
    with pytest.raises(SystemExit, match="lacks the marks"):
        write_into(page, COMMAND, "new")
    assert page.read_text() == content
