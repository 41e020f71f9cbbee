"""One and two actors of Ray on this machine, which score the same rows: how much faster two of them are.

    python -m bench.bulk_ray

Each run is `sluice score --engine ray`, a process that starts Ray, loads the model in each actor, scores and ends. Runs
of one and of two actors take turns. An actor has one thread, so two of them have the two cores that are meant. The
whole command is timed, and the time from the first part to the last, in which nothing starts: the bound is for the
whole command.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from bench import page

_COMMAND = "python -m bench.bulk_ray"
_WANTED = 1.5
_PARTS = 64
"""Parts of a run: what is not shared evenly at the end is small."""


class Run(NamedTuple):
    seconds: float
    """Of the whole command."""
    rate: float
    """Items a second between the first part and the last."""


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--model", default="mnist", show_default=True, help="A model of the store that ships; of pictures.")
@click.option("--items", type=click.IntRange(_PARTS), default=16_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--into", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A page to renew.")
def main(model: str, items: int, rounds: int, into: Path | None) -> None:
    """The command line."""
    with tempfile.TemporaryDirectory() as folder:
        pixels = np.random.default_rng(0).integers(0, 256, (items, 28, 28), dtype=np.uint8)
        np.save(Path(folder) / "pictures.npy", pixels)
        runs: dict[int, list[Run]] = {1: [], 2: []}
        for turn in range(rounds):
            for actors in (1, 2):
                runs[actors].append(_run(Path(folder), model, items, actors, turn))
                click.echo(f"{actors} of {turn + 1}/{rounds}: {runs[actors][-1].seconds:.1f} s", err=True)
    figures = report(model, items, runs)
    click.echo(figures)
    if into is not None:
        page.write_into(into, _COMMAND, figures)


def report(model: str, items: int, runs: dict[int, list[Run]]) -> str:
    """The table of the page, and the verdict."""
    whole = [one.seconds / two.seconds for one, two in zip(runs[1], runs[2], strict=True)]
    inner = [two.rate / one.rate for one, two in zip(runs[1], runs[2], strict=True)]
    lines = [
        f"{items:,} pictures scored by `{model}` in {_PARTS} parts, {len(whole)} rounds in turn; medians and ranges:",
        "",
        "| | one actor | two actors | two / one |",
        "|---|---:|---:|---:|",
        f"| whole command, s | {_median(run.seconds for run in runs[1]):.1f} | "
        f"{_median(run.seconds for run in runs[2]):.1f} | {_told(whole)} |",
        f"| items/s from the first part to the last | {_median(run.rate for run in runs[1]):,.0f} | "
        f"{_median(run.rate for run in runs[2]):,.0f} | {_told(inner)} |",
        "",
        f"Two actors are {statistics.median(whole):.2f} times as fast as one, whole commands; at least {_WANTED} is "
        f"wanted: **{'met' if statistics.median(whole) >= _WANTED else 'not met'}**.",
    ]
    return "\n".join(lines)


def _median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def _told(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _run(folder: Path, model: str, items: int, actors: int, turn: int) -> Run:
    output = folder / f"{actors}-{turn}"
    arguments = ["score", str(folder / "pictures.npy"), "--model", model, "--device", "cpu", "-o", f"{output}/"]
    arguments += ["--engine", "ray", "--workers", str(actors), "--part-rows", str(-(-items // _PARTS))]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    written = sorted(part.stat().st_mtime for part in output.glob("part-*.parquet"))
    if len(written) != -(-items // -(-items // _PARTS)):
        raise SystemExit(f"{output} holds {len(written)} parts")
    per_part = items / len(written)
    return Run(seconds, per_part * (len(written) - 1) / (written[-1] - written[0]))


if __name__ == "__main__":
    main()
