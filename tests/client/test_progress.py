"""The progress bar: a line on a terminal, a bar in a notebook, nothing elsewhere."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import pytest
from sluice_client import Client, Progress

from tests.service.helpers import HALF, images


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_one_line_that_tells_steps_rate_and_time_left(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    found = client.inpaint(images(1)[0], HALF, steps=30).result()
    lines = terminal.getvalue()
    assert lines.count("\n") == 1
    last = lines.rpartition("\r")[2]
    assert last.startswith("inpainting with digits@2  [########################]  30/30 steps")
    assert "steps/s" in last
    assert "0:00 left" in last
    assert f"{found.log_likelihood[0]:.6g} nats" in last
    terminal.truncate(0)
    client.inpaint(images(1)[0], HALF, steps=3, progress=False).result()
    assert "inpainting" not in terminal.getvalue()


def test_a_pipe_shows_nothing_unless_asked(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.inpaint(images(1)[0], HALF, steps=3).result()
    assert capsys.readouterr().err == ""
    client.inpaint(images(1)[0], HALF, steps=3, progress=True).result()
    assert "3/3 steps" in capsys.readouterr().err


class Handle:
    """What IPython's ``display`` gives for a display that can be changed."""

    def __init__(self, shown: Any) -> None:
        self.pages = [shown._repr_html_()]

    def update(self, shown: Any) -> None:
        self.pages.append(shown._repr_html_())


def test_a_notebook_shows_a_bar_above_the_latest_preview(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    handles: list[Handle] = []

    def display(shown: Any, *, display_id: bool) -> Handle:
        assert display_id
        handles.append(Handle(shown))
        return handles[-1]

    ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    begun = client.inpaint(images(1)[0], HALF, steps=20)
    told = list(begun)
    (handle,) = handles
    assert '<progress value="20" max="20">' in handle.pages[-1]
    assert 'src="data:image/png;base64,' in handle.pages[-1]
    assert told[-1]._repr_png_() is not None


def test_progress_of_a_vector_has_no_picture() -> None:
    assert Progress(1, 2, -3.0).preview is None
    assert Progress(1, 2, -3.0)._repr_png_() is None
