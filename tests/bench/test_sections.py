"""Sections of the benchmark run alone, and one that fails leaves the others their figures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import children
from bench.side_by_side import __main__ as command
from bench.side_by_side.report import Row


def section(*found: str | Row | Exception) -> command.Section:
    def run(*_: object) -> Iterator[str | Row]:
        for each in found:
            if isinstance(each, Exception):
                raise each
            yield each

    return run


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Three sections, of which the second fails; the page that they may be written into."""
    found = {
        "one": section("a table", Row("first", "1", "2", True)),
        "two": section(Row("second", "1", "0", False), RuntimeError("the server is gone")),
        "three": section(Row("third", "1", "3", True)),
    }
    monkeypatch.setattr(command, "SECTIONS", found)
    monkeypatch.setattr(command, "prepare", lambda _: None)
    monkeypatch.setattr(children, "end_on_signals", lambda: None)
    page = tmp_path / "page.md"
    page.write_text("<!-- figures of make bench -->\nold\n<!-- end of the figures -->\n")
    return page


def test_a_section_that_fails_is_a_row_and_the_others_are_kept(sections: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["side_by_side", "--into", str(sections)])
    command.main()
    text = sections.read_text()
    assert "a table" in text
    assert "| first | 1 | 2 | yes |" in text
    assert "| second | 1 | 0 | no |" in text
    assert "| section two |  | not run to its end: the server is gone | not measured |" in text
    assert "| third | 1 | 3 | yes |" in text


def test_only_the_sections_asked_for_run(
    sections: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["side_by_side", "--only", "three"])
    command.main()
    printed = capsys.readouterr().out
    assert "third" in printed
    assert "first" not in printed


def test_a_part_of_the_figures_does_not_replace_a_page(sections: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sections.read_text()
    monkeypatch.setattr(sys, "argv", ["side_by_side", "--only", "three", "--into", str(sections)])
    with pytest.raises(SystemExit):
        command.main()
    assert sections.read_text() == before
