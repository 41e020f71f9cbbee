"""The options of ``sluice-train`` that are of pictures of any size, and those that are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from trainer.pictures.plan import LEAST_SIZE

_OPTIONS = (
    click.option(
        "--size",
        type=click.IntRange(min=LEAST_SIZE, max=4096),
        help="Of `pictures`: pixels of the longer side to work at, at most; larger pictures are scaled down, in "
        "training and when they are scored.  [default: 256]",
    ),
    click.option(
        "--steps", type=click.IntRange(min=1), help="Of `pictures`: training steps of each flow, in place of --minutes."
    ),
    click.option(
        "--flip/--no-flip",
        default=None,
        help="Of `pictures`: train on mirrored crops too.  [default: a short training finds out, with few pictures]",
    ),
    click.option(
        "--turn/--no-turn",
        default=None,
        help="Of `pictures`: train on crops turned by quarters too.  [default: a short training finds out, with few "
        "pictures]",
    ),
    click.option(
        "--crop",
        type=click.IntRange(min=8, max=256),
        help="Of `pictures`: the side of the crops that are trained on, a multiple of 8.  [default: 64, or three "
        "quarters of the shortest side, the smallest twentieth of the pictures aside]",
    ),
    click.option(
        "--known-scenes",
        is_flag=True,
        help="Of `pictures`: new pictures will show the scenes that these show. Pictures of a scene are then dealt "
        "into any folds: more faults alarm, but more ordinary pictures of other scenes too.",
    ),
)


def picture_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--size, --steps, --flip, --turn, --crop and --known-scenes."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def refuse_for_pictures(given: dict[str, object]) -> None:
    """Raises UsageError for options, by their names, that have a value and are not for pictures."""
    if names := [option for option, value in given.items() if value]:
        raise click.UsageError(f"{_are(names)} not for pictures; see --minutes, --steps and --size")


def refuse_for_others(given: dict[str, object]) -> None:
    """Raises UsageError for options, by their names, that have a value and are for pictures alone."""
    if names := [option for option, value in given.items() if value is not None]:
        raise click.UsageError(f"{_are(names)} for the preset pictures")


def _are(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
