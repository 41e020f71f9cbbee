"""A progress bar of an inpainting: one line on a terminal, a bar in a notebook, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any, TextIO

from sluice_client.inpainting import Progress

_PERIOD = 0.1
"""Seconds between two changes of what is shown."""
_WIDTH = 24


class NoBar:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Take in where the work stands."""

    def close(self) -> None:
        """Say that it has ended."""


class _Timed(NoBar):
    """Shows not more often than an eye can follow."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._began, self._next = time.monotonic(), 0.0
        self._last: Progress | None = None

    def show(self, progress: Progress) -> None:
        self._last = progress
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PERIOD
            self._draw(progress)

    def close(self) -> None:
        if self._last is not None:
            self._draw(self._last)

    def _draw(self, progress: Progress) -> None:
        raise NotImplementedError

    def _text(self, progress: Progress) -> str:
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = progress.step / seconds
        text = f"{progress.step}/{progress.steps} steps"
        if rate > 0:
            text += f"  {rate:,.1f} steps/s  {_clock((progress.steps - progress.step) / rate)} left"
        return f"{text}  {progress.log_likelihood:.6g} nats"


class TerminalBar(_Timed):
    """One line that is written over itself."""

    def __init__(self, label: str, stream: TextIO) -> None:
        super().__init__(label)
        self._stream = stream

    def close(self) -> None:
        super().close()
        if self._last is not None:
            self._stream.write("\n")
            self._stream.flush()

    def _draw(self, progress: Progress) -> None:
        done = round(_WIDTH * progress.step / max(progress.steps, 1))
        bar = "#" * done + "-" * (_WIDTH - done)
        self._stream.write(f"\r{self.label}  [{bar}]  {self._text(progress)}\x1b[K")
        self._stream.flush()


class NotebookBar(_Timed):
    """A bar of HTML that is changed in place, above the latest preview."""

    def __init__(self, label: str, display: Any) -> None:
        super().__init__(label)
        self._html = ""
        self._handle = display(self, display_id=True)

    def __repr__(self) -> str:
        return self.label

    def _repr_html_(self) -> str:
        return self._html

    def _draw(self, progress: Progress) -> None:
        preview = progress._preview
        # The preview is a data address of the service's; escaped, it can be nothing else.
        picture = (
            f'<br><img style="image-rendering:pixelated;min-width:12em" src="{escape(preview)}">' if preview else ""
        )
        bar = f'<progress value="{progress.step}" max="{progress.steps}"></progress>'
        self._html = f"{escape(self.label)} {bar} {escape(self._text(progress))}{picture}"
        if self._handle is not None:
            self._handle.update(self)


def bar_for(label: str, wanted: bool | None) -> NoBar:
    """The bar that suits where the program runs; None decides by itself, False shows nothing."""
    if wanted is False:
        return NoBar()
    display = _notebook_display()
    if display is not None:
        return NotebookBar(label, display)
    if wanted or sys.stderr.isatty():
        return TerminalBar(label, sys.stderr)
    return NoBar()


def _notebook_display() -> Any:
    """IPython's function that displays an object, where the program runs in a notebook; else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
