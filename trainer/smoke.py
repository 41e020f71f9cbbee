"""Every preset in small, for ``make results-smoke``: what broke in a flow, a data set or the loop shows in minutes.

A preset's ``smoke`` says how it is made small and which loss it must then fall below: the mean negative log-likelihood
of test items, in bits per dimension for images and in nats for vectors. A line that a flow passes untrained proves
nothing, and counts as missed.
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
from trainer.device import choose_precision
from trainer.display import Several
from trainer.errors import MissingData, TrainerError
from trainer.evaluation import log_likelihoods
from trainer.experiment import fresh_state
from trainer.loop import train
from trainer.parallel import Ranks
from trainer.preset import Preset, Smoke
from trainer.presets import PRESETS

TEST_ITEMS = 500
SEED = 0


@dataclass(frozen=True)
class Outcome:
    """A small training: the losses before and after it, or why there are none."""

    preset: Preset
    before: float = math.nan
    after: float = math.nan
    seconds: float = 0.0
    missing: str = ""
    error: str = ""

    @property
    def below(self) -> float:
        return self.preset.smoke.below if self.preset.smoke else math.nan

    @property
    def failure(self) -> str:
        """Why it counts as failed; empty where the loss fell below its line, or where data are missing."""
        if self.preset.smoke is None:
            return "states no smoke line"
        if self.missing or self.error:
            return self.error
        if self.before < self.below:
            return "holds untrained"
        return "" if self.after < self.below else "not below"

    def figures(self) -> str:
        return f"{self.before:10.3f}{self.below:10.3f}{self.after:10.3f}{self.seconds:9.1f}"

    def verdict(self) -> str:
        if self.failure:
            return f"FAILED: {self.failure}"
        return f"skipped: files not at hand: {self.missing}" if self.missing else "below"


def shrink(preset: Preset, smoke: Smoke) -> Preset:
    """The preset as its smoke line wants it: few items and epochs, and thin nets if it says so."""
    return replace(
        preset,
        data=smoke.data or preset.data,
        arguments={**preset.arguments, **smoke.arguments},
        epochs=smoke.epochs,
        batch_size=min(preset.batch_size, smoke.batch_size),
        learning_rate=smoke.learning_rate or preset.learning_rate,
        warmup_steps=min(preset.warmup_steps, 10),
        ema_decay=min(preset.ema_decay, 0.9),
    )


def attempt(preset: Preset, data_dir: Path | None) -> Outcome:
    """Train a preset in small. Data that cannot be had are no failure; anything else that goes wrong is."""
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
            precision=choose_precision(small.precision, device),
            ranks=Ranks(device),
            save=lambda: None,
            display=Several([]),
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
    """So many at a time, each on one thread: nets this thin gain nothing from a second one."""
    if jobs == 1:
        yield from (attempt(preset, data_dir) for preset in presets)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(1,)) as workers:
        yield from workers.map(attempt, presets, repeat(data_dir))


@click.command()
@click.argument("names", nargs=-1, metavar="[PRESET]...")
@click.option("--data-dir", type=click.Path(exists=True, file_okay=False, path_type=Path), help="As in sluice-train.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count, help="Rows at a time.  [one a core]")
def main(names: tuple[str, ...], data_dir: Path | None, jobs: int) -> None:
    """Train PRESETs, or all that there are, in small, and check that each loss falls below the line it states."""
    unknown = [name for name in names if name not in PRESETS]
    if unknown:
        raise click.UsageError(f"no preset {', '.join(unknown)}; sluice-train --list shows them")
    click.echo(f"{'preset':28}{'untrained':>10}{'line':>10}{'loss':>10}{'seconds':>9}")
    failed = 0
    for outcome in _attempts([PRESETS[name] for name in names or PRESETS], data_dir, jobs):
        failed += bool(outcome.failure)
        click.echo(f"{outcome.preset.name:28}{outcome.figures()}  {outcome.verdict()}")
    if failed:
        raise click.ClickException(f"{failed} of the rows failed")


if __name__ == "__main__":
    main()
