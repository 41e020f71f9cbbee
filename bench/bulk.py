"""Rows and pictures scored a second into a folder of Parquet, beside a bare loop over the same input.

    python -m bench.bulk

The bare loop is a process that loads the model, takes the input batch by batch and computes the program of a score for
each: no device loop, no scheduler, nothing written. It reads and computes in turn. The bulk run is `sluice score` with
a folder as output. Both are processes that start, load and end, and both are timed as a whole; they take turns.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from bench import page

_COMMAND = "python -m bench.bulk"
_BATCH = 256
# What the system tells of a child's memory begins with the most that its parent held. This parent is small.
_MEASURE = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
seconds = time.perf_counter() - began
print(json.dumps([status, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


class Case(NamedTuple):
    """One kind of input."""

    name: str
    model: str
    items: int
    path: Path


class Run(NamedTuple):
    seconds: float
    mebibytes: float
    """The most resident memory."""


@click.group(invoke_without_command=True, help=(__doc__ or "").partition("\n")[0])
@click.option("--rows", type=click.IntRange(1), default=2_000_000, show_default=True)
@click.option("--pictures", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--into", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A page to renew.")
@click.pass_context
def main(context: click.Context, rows: int, pictures: int, rounds: int, into: Path | None) -> None:
    """The command line."""
    if context.invoked_subcommand is not None:
        return
    with tempfile.TemporaryDirectory() as folder:
        cases = list(_cases(Path(folder), rows, pictures))
        figures = report([(case, *measure(case, Path(folder), rounds)) for case in cases])
    click.echo(figures)
    if into is not None:
        page.write_into(into, _COMMAND, figures)


def measure(case: Case, folder: Path, rounds: int) -> tuple[list[Run], list[Run]]:
    """Runs of the bare loop and of the bulk command, in turn."""
    bare, bulk = [], []
    for turn in range(rounds):
        bare.append(_timed("-m", "bench.bulk", "bare", str(case.path), case.model))
        output = folder / f"{case.name}-{turn}"
        bulk.append(
            _timed(
                "-m", "service", "score", str(case.path), "--model", case.model, "--device", "cpu", "-o", f"{output}/"
            )
        )
        _check(output, case.items)
    return bare, bulk


def report(found: list[tuple[Case, list[Run], list[Run]]]) -> str:
    """The table of the page."""
    lines = [
        "| input | model | items | bare loop | bulk run | bulk / bare | memory, bare | memory, bulk |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for case, bare, bulk in found:
        rates = [case.items / statistics.median(run.seconds for run in runs) for runs in (bare, bulk)]
        shares = [one.seconds / other.seconds for one, other in zip(bare, bulk, strict=True)]
        most = [max(run.mebibytes for run in runs) for runs in (bare, bulk)]
        lines.append(
            f"| {case.name} | {case.model} | {case.items:,} | {rates[0]:,.0f}/s | {rates[1]:,.0f}/s | "
            f"{statistics.median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f}) | {most[0]:,.0f} MiB | "
            f"{most[1]:,.0f} MiB |"
        )
    return "\n".join(lines)


def _cases(folder: Path, rows: int, pictures: int) -> Iterator[Case]:
    from PIL import Image

    generator = np.random.default_rng(0)
    np.save(folder / "rows.npy", generator.standard_normal((rows, 2)).astype(np.float32))
    yield Case("rows.npy", "moons", rows, folder / "rows.npy")
    with (folder / "rows.csv").open("w") as file:
        file.write("x,y\n")
        for start in range(0, rows, 100_000):
            some = generator.standard_normal((min(100_000, rows - start), 2))
            file.writelines(f"{x:.6f},{y:.6f}\n" for x, y in some.tolist())
    yield Case("rows.csv", "moons", rows, folder / "rows.csv")
    album = folder / "pictures"
    for place in range(pictures):
        inside = album / f"{place // 1000:04d}"
        if place % 1000 == 0:
            inside.mkdir(parents=True)
        pixels = generator.integers(0, 256, (28, 28), dtype=np.uint8) // 4 * (generator.random((28, 28)) < 0.2)
        Image.fromarray(pixels.astype(np.uint8)).save(inside / f"{place:06d}.png")
    yield Case("pictures", "mnist-nice", pictures, album)


def _timed(*arguments: str) -> Run:
    """Run Python in a process of its own."""
    command = [sys.executable, "-I", "-S", "-c", _MEASURE, sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    status, seconds, mebibytes = json.loads(done.stdout)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return Run(seconds, mebibytes)


def _check(output: Path, count: int) -> None:
    from pyarrow import compute, parquet

    table = parquet.read_table(output, columns=["log_likelihood"])
    found = compute.count(table["log_likelihood"]).as_py()
    if found != count:
        raise SystemExit(f"{output} holds {found} scores where {count} are due")


@main.command(help="Score the input in a bare loop.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.argument("model")
def bare(path: Path, model: str) -> None:
    """One process of the measurement."""
    import torch

    from flows.nets.precision import exact_float32
    from model_store import Store, default_root
    from service.device import hardware
    from service.device.columns import Columns
    from service.device.descriptions import info_of
    from service.device.programs import Score
    from service.device.runner import Runner
    from service.device.threads import Threads
    from service.media.items import ItemSpec
    from service.offline.sources import sources
    from service.settings import Settings

    settings = Settings()
    store, device = Store(default_root()), torch.device("cpu")
    loaded = store.load(*store.resolve(model), device, bfloat16=hardware.bfloat16_allowed(settings, device))
    info = info_of(loaded, ())
    program, runner, threads = Score(loaded), Runner(device, _BATCH), Threads(settings.threads)
    threads.adopt()
    total = 0.0
    with exact_float32(), torch.inference_mode():
        for source in sources([path], ItemSpec(info.item_shape, info.is_image), False):
            for batch in source.batches(_BATCH):
                items = torch.from_numpy(np.ascontiguousarray(batch.items))
                columns = Columns({"items": items, "seed": torch.zeros(len(items), dtype=torch.int64)})
                with threads.computing(program, len(items)):
                    found = runner.compute(program, columns)
                total += float(found["log_likelihood"].sum())
    click.echo(f"{total}", err=True)


if __name__ == "__main__":
    main()
