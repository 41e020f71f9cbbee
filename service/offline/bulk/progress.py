"""How far a bulk run has come: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from service.commands.style import bar

_EVERY = 30.0
"""Seconds between two lines in a log."""


@contextmanager
def progress(length: int, done: int, doing: str) -> Iterator[Callable[[int], None]]:
    """Show how many of ``length`` items are done, with rate and time left; yields what is told of more items.

    ``done`` items were there when the run began: they count as done, and not for the rate.
    """
    with bar(length - done, doing, "items") as move:
        began = told = time.monotonic()
        now = 0

        def more(items: int) -> None:
            nonlocal now, told
            now += items
            move(now)
            if sys.stderr.isatty() or time.monotonic() - told < _EVERY:
                return
            told = time.monotonic()
            rate = now / (told - began)
            left = (length - done - now) / rate if rate else 0.0
            click.echo(
                f"{doing}: {done + now:,} of {length:,} items, {rate:,.0f} items/s, {_time(left)} left", err=True
            )

        yield more


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
