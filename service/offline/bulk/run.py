"""A bulk run from its options to a folder of Parquet and a summary."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from service.device.descriptions import info_of
from service.devices import devices_of
from service.offline.bulk.folder import OutputFolder, folder_at
from service.offline.bulk.inputs import Input
from service.offline.bulk.job import SUMMARY, Command, InputNote, Job, Part, begin, read_job
from service.offline.bulk.progress import progress
from service.offline.bulk.worker import Tell, open_inputs
from service.offline.overwriting import refuse_folder_among_inputs
from service.offline.unusable import UnusableFile, missing_extra
from service.opened_store import store_of
from service.protocol.defaults import DRAWN_SEED_BITS, LARGEST_SEED
from service.protocol.model_info import ModelInfo
from service.settings import Settings, location

PART_ROWS = {"score": 65_536, "sample": 65_536, "inpaint": 1_024}
"""Items of a part: what is computed again after a run was killed is at most two parts a device."""
_PART_BYTES = 64 * 2**20
"""Bytes of items in the output of a part, about, where its items are large."""
_DOING = {"score": "scoring", "sample": "sampling", "inpaint": "inpainting"}


class Engine(NamedTuple):
    """What computes: processes of this machine, or actors of Ray's."""

    name: str = "local"
    workers: int | None = None
    """Of Ray: actors. None for one on each GPU, or on each CPU, of the cluster."""


def engine_of(name: str | None, workers: int | None, devices: str | None) -> Engine:
    """The engine of the options. A wrong combination ends the command."""
    if name == "ray" and devices is not None:
        raise click.UsageError("--devices lists devices of this machine; --engine ray takes those of its cluster")
    if name != "ray" and workers is not None:
        raise click.UsageError("--workers needs --engine ray")
    return Engine(name or "local", workers)


class Wish(msgspec.Struct, frozen=True):
    """What the options of a command ask for; fields are those of ``Job``."""

    command: Command
    files: Sequence[Path | str] = ()
    """Paths, and URLs as texts."""
    count: int = 0
    """Of a run without files: items."""
    seed: int | None = None
    """None draws one, or takes that of the run to go on with."""
    part_rows: int | None = None
    mask: Path | None = None
    options: dict[str, Any] = {}
    engine: Engine = Engine()


def run_bulk(
    wish: Wish, output: Path | str, model: str | None, store: Path | str | None, settings: Settings
) -> dict[str, Any]:
    """Compute whatever the folder, at a path or a URL, lacks; the summary.

    Raises UnusableFile, StoreError, NoSuchDevice or Problem.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise missing_extra("to write Parquet", "pyarrow", "bulk") from error
    refuse_folder_among_inputs(location(output), wish.files)
    folder = folder_at(output)
    with folder.alone():
        note = _telling_once()
        with _engine(wish.engine, settings, note) as engine:
            job, inputs = _job(wish, engine.device, folder, model, store or settings.store, settings, note)
            begin(folder, job)
            there = set(folder.names())
            missing = [part for part in job.parts if part.file not in there]
            if missing:
                _compute(engine, folder, job, inputs, missing)
        summary = summary_of(folder, job)
        folder.replace(SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=1))
    return summary


class _Started(NamedTuple):
    """An engine that is ready to compute."""

    device: str
    """`cpu` or `cuda`."""
    run: Callable[[OutputFolder, Job, list[Input], Sequence[Part], Tell], None]
    """Computes parts of a job. Its inputs are open here; processes of their own open them again."""


@contextmanager
def _engine(chosen: Engine, settings: Settings, note: Callable[[str], None]) -> Iterator[_Started]:
    if chosen.name == "ray":
        from service.offline.bulk.ray_engine import cluster, kind_of_device, run_on_ray

        with cluster() as ray:
            yield _Started(
                kind_of_device(ray, settings),
                lambda folder, job, _, parts, tell: run_on_ray(
                    ray, folder, job, parts, settings, chosen.workers, tell, note
                ),
            )
        return
    from service.offline.bulk.processes import run_here, run_in_processes

    devices = devices_of(settings)

    def run(folder: OutputFolder, job: Job, inputs: list[Input], parts: Sequence[Part], tell: Tell) -> None:
        if len(devices) == 1:
            asyncio.run(run_here(folder, job, inputs, parts, settings, tell, note))
        else:
            asyncio.run(run_in_processes(folder, parts, devices, settings, tell, note))

    yield _Started("cpu" if devices[0].place == "cpu" else "cuda", run)


def _compute(engine: _Started, folder: OutputFolder, job: Job, inputs: list[Input], missing: Sequence[Part]) -> None:
    done = job.count - sum(map(len, missing))
    if done:
        click.echo(f"{done:,} of {job.count:,} items are there already", err=True)
    with progress(job.count, done, _DOING[job.command]) as move:

        def tell(items: int, _: Part | None) -> None:
            move(items)

        engine.run(folder, job, inputs, missing, tell)


def _telling_once() -> Callable[[str], None]:
    """Tells each note once, however many workers have it."""
    told: set[str] = set()

    def note(text: str) -> None:
        if text not in told:
            told.add(text)
            click.echo(text, err=True)

    return note


def _job(
    wish: Wish,
    device: str,
    folder: OutputFolder,
    model: str | None,
    store: Path | str,
    settings: Settings,
    note: Callable[[str], None],
) -> tuple[Job, list[Input]]:
    """The job and its opened inputs."""
    shelf = store_of(settings, store)
    name, version = shelf.resolve(model)
    info = info_of(shelf.load(name, version), ())
    there = read_job(folder)
    seed = wish.seed
    if seed is None:
        seed = there.seed if there is not None else secrets.randbits(DRAWN_SEED_BITS)
    job = Job(
        command=wish.command,
        model=info.reference,
        manifest_sha256=hashlib.sha256(shelf.manifest_bytes(name, version)).hexdigest(),
        store=str(store.absolute()) if isinstance(store, Path) else store,
        device=device,
        part_rows=wish.part_rows or (there.part_rows if there is not None else _part_rows(wish.command, info)),
        files=[file if isinstance(file, str) else str(file.absolute()) for file in wish.files],
        inputs=[InputNote("draws", wish.count, "")],
        seed=seed,
        mask=None if wish.mask is None else str(wish.mask.absolute()),
        mask_sha256=None if wish.mask is None else hashlib.sha256(wish.mask.read_bytes()).hexdigest(),
        **wish.options,
    )
    inputs: list[Input] = []
    if wish.command != "sample":
        inputs = open_inputs(job, info, note, () if there is None else there.inputs)
        job = msgspec.structs.replace(job, inputs=[each.note for each in inputs])
    if job.seed + job.count > LARGEST_SEED:
        raise UnusableFile(f"--seed {job.seed} is too large: {job.count:,} items follow it")
    return job, inputs


def _part_rows(command: str, info: ModelInfo) -> int:
    written = 0 if command == "score" else info.dimensions * (1 if info.is_image else 4)
    return max(min(PART_ROWS[command], _PART_BYTES // max(written, 1)), 1)


def summary_of(folder: OutputFolder, job: Job) -> dict[str, Any]:
    """What the parts hold, part after part, so that it does not depend on how often the run was started."""
    from pyarrow import compute, parquet

    items = rows = unusable = 0
    nats: list[float] = []
    counted = decided = anomalous = 0
    for part in job.parts:
        with folder.open(part.file) as stream:
            file = parquet.ParquetFile(stream)
            names = set(file.schema_arrow.names)
            table = file.read([name for name in ("log_likelihood", "anomalous") if name in names])
        items, rows = items + len(part), rows + file.metadata.num_rows
        if "log_likelihood" in names:
            column = table["log_likelihood"]
            unusable += column.null_count
            counted += len(column) - column.null_count
            nats.append(compute.sum(column).as_py() or 0.0)
        if "anomalous" in names:
            decided += len(table) - table["anomalous"].null_count
            anomalous += compute.sum(table["anomalous"].cast("int64")).as_py() or 0
    summary: dict[str, Any] = {"model": job.model, "seed": job.seed, "items": items, "rows": rows}
    if job.command != "sample":
        summary |= {"unusable": unusable, "log_likelihood": math.fsum(nats) / counted if counted else None}
    if job.command == "score":
        # Without calibration, and at an alpha that no p-value reaches, no item has a verdict.
        summary |= {"alpha": job.alpha, "anomalous": anomalous if decided or not counted else None}
    return summary
