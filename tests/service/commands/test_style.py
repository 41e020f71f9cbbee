"""Progress bars and outputs of commands."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import pytest

from service.commands import style


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_tells_place_rate_and_time_left_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with style.bar(10, "scoring", "items") as move:
        move(10)
    assert capsys.readouterr().err == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with style.bar(10, "scoring", "items") as move:
        for place in range(1, 11):
            move(place)
    shown = terminal.getvalue()
    assert "scoring" in shown
    assert "10/10" in shown
    assert "items/s" in shown


def test_bytes_go_to_a_file_or_a_pipe_but_not_to_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    style.write_out(tmp_path / "out", b"\x00")
    assert (tmp_path / "out").read_bytes() == b"\x00"
    with pytest.raises(click.ClickException, match="cannot be written"):
        style.write_out(tmp_path / "absent/out", b"")
    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(click.UsageError, match="--output"):
        style.write_out(None, b"")


def test_an_error_that_nobody_foresaw_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), style.failures_told():
        _ = 1 / 0
