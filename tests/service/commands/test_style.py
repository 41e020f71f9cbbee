"""Progress bars and outputs of commands."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import pytest

from service.commands import style
from tests.service.helpers import publish_small


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


def test_a_bar_of_bytes_begins_when_their_number_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with style.watched("reading") as watch:
        assert terminal.getvalue() == ""
        watch(20, 50)
        watch(50, 50)
    assert "reading" in terminal.getvalue()
    assert "50/50" in terminal.getvalue()
    assert "bytes/s" in terminal.getvalue()


def test_models_that_move_tell_how_far_they_are(tmp_path: Path) -> None:
    from model_store import Store, receive, send

    publish_small(tmp_path / "here", "digits", (8, 8))
    for work in (
        lambda watch: send(Store(tmp_path / "here"), "digits", 1, tmp_path / "out", watch=watch),
        lambda watch: receive(Store(tmp_path / "there"), tmp_path / "out", watch=watch),
    ):
        told: list[tuple[int, int]] = []
        work(lambda done, of, told=told: told.append((done, of)))
        assert len(told) > 2
        assert told == sorted(told)
        assert told[-1][0] == told[-1][1]
        assert len({of for _, of in told}) == 1


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
