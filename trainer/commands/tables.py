"""What ``sluice-train`` does for tables: options as wishes, sizes by rows, simpler flows to fall back to."""

from __future__ import annotations

import csv
import dataclasses
import shlex
from pathlib import Path

import click
from rich.console import Console

import model_store
from model_store import Published, Store
from tables import KINDS, Kind
from tables.loading import Wishes
from trainer.data import HELD_OUT_SHARE, OwnData
from trainer.errors import Diverged, TrainerError
from trainer.presets import Preset, table
from trainer.publish.export import export
from trainer.publish.row_calibration import ENOUGH_HELD_OUT
from trainer.report.evaluation import Quality
from trainer.run import experiment
from trainer.run.ranks import Ranks
from trainer.run.settings import RunSettings
from trainer.run.state import FILE as STATE
from trainer.run.stopping import StopRequest


class Stopped(Exception):
    """A run that was stopped by a signal and saved."""


def names_of(given: tuple[str, ...]) -> tuple[str, ...]:
    """Names of columns from options that hold one or several between commas; quotes keep a comma in a name."""
    return tuple(name.strip() for row in csv.reader(given, skipinitialspace=True) for name in row if name.strip())


def kind_of(given: str) -> tuple[str, Kind]:
    name, equals, kind = given.rpartition("=")
    if not equals or kind not in KINDS:
        raise click.UsageError(f"--kind {given}: must be NAME=KIND, the kind one of {', '.join(KINDS)}")
    return name, kind


def options_of(wishes: Wishes) -> list[str]:
    named = {"--columns": wishes.columns, "--drop": wishes.drop}
    options = [f"{option} {shlex.quote(','.join(names))}" for option, names in named.items() if names]
    if wishes.label is not None:
        options.append(f"--label {shlex.quote(wishes.label)}")
    options += [f"--kind {shlex.quote(f'{name}={kind}')}" for name, kind in wishes.kinds]
    if wishes.names is not None:
        options.append("--header" if wishes.names else "--no-header")
    return options


_STACKED, _ONE_BY_ONE = 2.5, 5.0
"""The time that flows of folds take, in that of the published flow: all in one step, or one after another."""


def sized(preset: Preset, limit: int | None) -> Preset:
    """The preset with what follows from the number of rows, where the items are the user's own vectors."""
    if not isinstance(preset.data, OwnData):
        return preset
    items, test = preset.data.read(None)
    rows = len(items[:limit])
    rows -= round(rows * HELD_OUT_SHARE)
    stacked = preset.name == table.TABLE.name
    if items.is_floating_point() and len(test[:limit]) < ENOUGH_HELD_OUT:
        preset = dataclasses.replace(preset, further=_STACKED if stacked else _ONE_BY_ONE)
    if stacked and items.is_floating_point() and rows:
        return table.planned(preset, rows, items.shape[1])
    return dataclasses.replace(preset, batch_size=max(1, min(preset.batch_size, rows)))


def trained_and_published(
    preset: Preset,
    settings: RunSettings,
    ranks: Ranks,
    console: Console,
    stop: StopRequest,
    store: Path | Store | None,
    name: str | None,
    neighbours: bool,
) -> tuple[Quality, Published | None] | None:
    """Train, evaluate and publish. Of a table, a flow that fails its self-test is replaced by simpler ones.

    The weights of each attempt stay in its run directory. None on a rank that does not lead. Raises Stopped after a
    signal.
    """
    is_table = isinstance(preset.data, OwnData) and preset.data.schema is not None
    attempts = [preset, *(table.simpler(_as_table(preset), kind) for kind in table.SIMPLER)] if is_table else [preset]
    for number, attempt in enumerate(attempts):
        directory = settings.run_dir if number == 0 else settings.run_dir.below(str(attempt.arguments["coupling"]))
        own = dataclasses.replace(settings, run_dir=directory)
        try:
            finished = experiment.run(attempt, own, ranks, console, stop_requested=stop)
            if finished is None:
                raise Stopped
            if not ranks.leads:
                return None
            return export(
                finished,
                store,
                name or preset.model,
                neighbours=neighbours,
                say=lambda text: console.print(text, markup=False, highlight=False),
            )
        except (model_store.FailedSelfTest, Diverged) as error:
            kept = f"the weights are kept in {directory}/{STATE}"
            if number + 1 == len(attempts) or ranks.count > 1:
                raise TrainerError(f"{error}; {kept}") from error
            following = attempts[number + 1].arguments["coupling"]
            console.print(
                f"{error}; {kept}. Training a simpler flow, of {following} couplings, instead",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    raise AssertionError  # the last attempt returns or raises


def _as_table(preset: Preset) -> Preset:
    """The preset ``table`` in place of another of tables, for the same data and name."""
    if preset.architecture == table.TABLE.architecture:
        return preset
    return dataclasses.replace(
        table.TABLE, data=preset.data, model=preset.model, epochs=preset.epochs, batch_size=preset.batch_size
    )
