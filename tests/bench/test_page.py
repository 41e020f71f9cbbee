"""Figures go where a page wants them, and nowhere else."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pytest

from bench.page import END, begin, refuse_parts, write_into

COMMAND = "make something"
BEGIN = begin(COMMAND)


def test_figures_replace_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for figures in ("new", "newer"):
        write_into(page, COMMAND, figures)
        assert page.read_text() == f"before\n{BEGIN}\n{figures}\n{END}\nafter\n"


def test_options_that_leave_figures_out_are_refused_with_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--into")
    parser.add_argument("--only-some", action="store_true")
    parser.add_argument("--limit", type=int)
    for allowed in ([], ["--into", "page.md"], ["--only-some", "--limit", "3"]):
        refuse_parts(parser, parser.parse_args(allowed), "only_some", "limit")
    with pytest.raises(SystemExit):
        refuse_parts(parser, parser.parse_args(["--into", "page.md", "--only-some"]), "only_some", "limit")
    assert "cannot be used with --only-some" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        "anomaly --near",
        "anomaly --model mnist",
        "anomaly --limit 9",
        "drift --only-ordinary",
        "maps --model mnist",
        "tables --table iris",
    ],
)
def test_benchmarks_do_not_replace_a_page_by_a_part_of_its_figures(
    options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn", reason="the tables' benchmark wants it")
    name, *given = options.split()
    command = importlib.import_module("bench.tables.__main__" if name == "tables" else f"bench.{name}")
    monkeypatch.setattr("sys.argv", [name, *given, "--into", str(tmp_path / "page.md")])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2


@pytest.mark.parametrize("content", ["", BEGIN, f"{END}\n{BEGIN}"])
def test_a_page_without_the_marks_is_left_alone(tmp_path: Path, content: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(content)
    with pytest.raises(SystemExit, match="lacks the marks"):
        write_into(page, COMMAND, "new")
    assert page.read_text() == content
