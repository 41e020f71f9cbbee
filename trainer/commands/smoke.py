"""The command of ``make results-smoke``: train every preset in small, and check the loss against its line.

A preset's ``smoke`` says how it is made small and the line that its loss must then fall below: the mean negative
log-likelihood of test items, in bits per dimension for images and in nats for vectors. A preset also fails when the
untrained flow is below the line, which then checks nothing.
"""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import repeat
from pathlib import Path
from time import perf_counter

import click
import torch
from torch import Tensor

from flows import Flow, FlowError, bits_per_dim
from trainer import data
from trainer.commands.options import data_dir_option
from trainer.errors import MissingData, TrainerError
from trainer.presets import PRESETS, Preset, Smoke
from trainer.run.device import choose_precision
from trainer.run.hooks import Hooks
from trainer.run.initial_state import fresh_state
from trainer.run.likelihoods import log_likelihoods
from trainer.run.loop import train
from trainer.run.ranks import Ranks
from trainer.run.settings import Computing

TEST_ITEMS = 500
SEED = 0


@dataclass(frozen=True)
class Outcome:
    """The result of one preset: the losses before and after its small training, or why there are none."""

    preset: Preset
    before: float = math.nan
    after: float = math.nan
    seconds: float = 0.0
    missing: str = ""
    error: str = ""

    @property
    def below(self) -> float:
        """The line that the loss must fall below."""
        return self.preset.smoke.below if self.preset.smoke else math.nan

    @property
    def failure(self) -> str:
        """Why the preset failed; empty where the loss fell below the line, or where data are missing."""
        if self.preset.smoke is None:
            return "has no smoke line"
        if self.missing or self.error:
            return self.error
        if self.before < self.below:
            return "the untrained flow is below the line"
        return "" if self.after < self.below else "not below the line"

    def figures(self) -> str:
        return f"{self.before:10.3f}{self.below:10.3f}{self.after:10.3f}{self.seconds:9.1f}"

    def verdict(self) -> str:
        if self.failure:
            return f"FAILED: {self.failure}"
        return f"skipped: missing data: {self.missing}" if self.missing else "passed"


def shrink(preset: Preset, smoke: Smoke) -> Preset:
    """The preset made small: few items and epochs, and narrow nets where ``smoke`` says so."""
    return replace(
        preset,
        data=smoke.data or preset.data,
        arguments={**preset.arguments, **smoke.arguments},
        epochs=smoke.epochs,
        minutes=None,
        batch_size=min(preset.batch_size, smoke.batch_size),
        learning_rate=smoke.learning_rate or preset.learning_rate,
        warmup_steps=min(preset.warmup_steps, 10),
        ema_decay=min(preset.ema_decay, 0.9),
    )


def attempt(preset: Preset, data_dir: Path | None) -> Outcome:
    """Train a preset in small. Missing data are not a failure; any other error is."""
    if preset.smoke is None:
        return Outcome(preset)
    device = torch.device("cpu")
    small, began = shrink(preset, preset.smoke), perf_counter()
    try:
        items, test = _read(small.data, data_dir)
    except MissingData as error:
        return Outcome(preset, missing=str(error))
    except TrainerError as error:
        return Outcome(preset, error=str(error))
    try:
        splits = data.split(small.data.name, items, test[:TEST_ITEMS], seed=SEED, limit=preset.smoke.limit)
        state = fresh_state(small, splits, SEED, device)
        before = _loss(state.flow, splits.test)
        train(
            state,
            splits,
            small,
            seed=SEED,
            computing=Computing(precision=choose_precision(small.precision, device)),
            ranks=Ranks(device),
            hooks=Hooks(),
        )
        state.flow.load_state_dict(state.best)
        return Outcome(preset, before, _loss(state.flow, splits.test), perf_counter() - began)
    except (TrainerError, FlowError) as error:
        return Outcome(preset, error=str(error))


@cache
def _read(dataset: data.DataSet, data_dir: Path | None) -> tuple[Tensor, Tensor]:
    return dataset.read(data_dir)


def _loss(flow: Flow, items: Tensor) -> float:
    nats = float(log_likelihoods(flow, items).mean())
    return float(bits_per_dim(nats, flow.dimensions)) if flow.is_image else -nats


def _attempts(presets: Sequence[Preset], data_dir: Path | None, jobs: int) -> Iterator[Outcome]:
    """Attempt ``jobs`` presets at a time, each on one thread: nets this narrow gain nothing from more."""
    if jobs == 1:
        yield from (attempt(preset, data_dir) for preset in presets)
        return
    context = multiprocessing.get_context("forkserver")  # what each process needs is imported once
    context.set_forkserver_preload(["trainer.commands.smoke"])
    with ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(1,)) as workers:
        yield from workers.map(attempt, presets, repeat(data_dir))


@click.command()
@click.argument("names", nargs=-1, metavar="[PRESET]...")
@data_dir_option
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count,
    help="Presets trained at a time.  [default: the number of cores]",
)
def main(names: tuple[str, ...], data_dir: Path | None, jobs: int) -> None:
    """Train the named PRESETs, or all, in small, and check that each loss falls below the line of its preset."""
    unknown = [name for name in names if name not in PRESETS]
    if unknown:
        raise click.UsageError(f"no preset {', '.join(unknown)}; sluice-train --list shows them")
    click.echo(f"{'preset':28}{'untrained':>10}{'line':>10}{'loss':>10}{'seconds':>9}")
    failed = 0
    for outcome in _attempts([PRESETS[name] for name in names or PRESETS], data_dir, jobs):
        failed += bool(outcome.failure)
        click.echo(f"{outcome.preset.name:28}{outcome.figures()}  {outcome.verdict()}")
    if failed:
        raise click.ClickException(f"presets that failed: {failed}")


if __name__ == "__main__":
    main()
