"""The command ``sluice-train``: train a preset, measure it on the test set, publish it."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from pathlib import Path

import click
from rich.console import Console

import model_store
from flows import FlowError
from flows.nets.precision import exact_float32
from tables.loading import Wishes
from trainer.commands.listing import entry, table
from trainer.commands.options import Location, data_dir_option, device_option, store_option
from trainer.commands.picture_options import picture_options, refuse_for_others, refuse_for_pictures
from trainer.commands.starts import start_from
from trainer.commands.table_report import told
from trainer.commands.tables import Stopped, kind_of, names_of, options_of, sized, trained_and_published
from trainer.commands.train_pictures import train_pictures
from trainer.commands.writable import check_writable
from trainer.data import OwnData
from trainer.errors import TrainerError
from trainer.presets import PRESETS, Precision, Preset
from trainer.presets.pictures import PICTURES
from trainer.publish.store_location import store_at
from trainer.report.evaluation import Quality
from trainer.run.device import choose_device, choose_precision
from trainer.run.ranks import UNSHARED, Ranks, joined, restarts_can_hang
from trainer.run.run_directory import run_directory
from trainer.run.settings import Computing, RunSettings
from trainer.run.start import Start
from trainer.run.stopping import stop_on_signals

_MOST_MINUTES = 60.0 * 24 * 366
"""A year."""
_EPILOG = """\b
Examples:
  sluice-train --list
  sluice-train moons-nice
  sluice-train mnist-nice-small --data-dir ~/data --store models
  sluice-train mnist-nice --limit 2000 --epochs 2 --no-publish
  sluice-train table --data measurements.csv
  sluice-train table --data machines.csv.gz --label failed --drop serial --kind line=category
  sluice-train pictures --data good-pictures --minutes 15 --name my-part
  sluice-train images-nice --data folder-of-pictures --name my-pictures
  sluice-train cifar10 --minutes 30 --device cuda
  torchrun --nproc-per-node 8 --no-python -- sluice-train cifar10-nice
  torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint head:29400 --rdzv-id r1 --max-restarts 3 \
      --no-python -- sluice-train cifar10-nice --run-dir s3://bucket/r1

Ctrl-C (or SIGTERM) finishes the current step and saves the run. The same command continues from there, with the same
result as a run without the stop. Of `pictures`, the flows that are finished are saved, and the others begin anew.

\b
Exit codes:
  0        done
  1        not done; the standard error says why
  2        the command line is wrong
  130, 143 stopped by Ctrl-C or SIGTERM, and saved
"""


@click.command(epilog=_EPILOG)
@click.argument("preset", required=False, type=click.Choice(list(PRESETS)), metavar="PRESET")
@click.option("--list", "list_presets", is_flag=True, help="List the presets and exit.")
@click.option("--json", "as_json", is_flag=True, help="Print the list, or the result, as JSON.")
@data_dir_option
@click.option(
    "--data",
    "own_path",
    type=click.Path(exists=True, path_type=Path),
    help="Your own data instead of the preset's: a folder of pictures, a .npy or .npz file, or a table (.csv or "
    ".tsv, also with .gz, or .parquet).",
)
@click.option("--columns", multiple=True, metavar="NAME,...", help="Of a table: take these columns only.")
@click.option("--drop", multiple=True, metavar="NAME,...", help="Of a table: leave these columns out.")
@click.option("--label", metavar="NAME", help="Of a table: a column that is neither input nor verdict.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="NAME=KIND",
    help="Of a table: what a column is, instead of what was found: continuous, integer, category or time.",
)
@click.option(
    "--header/--no-header", default=None, help="Whether a table's first line holds names.  [default: found out]"
)
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training set, instead of the preset's.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True, max=_MOST_MINUTES),
    help="A budget of wall-clock time for the whole run, in place of epochs: the schedule follows it, and the run ends "
    "inside it, with the model published.",
)
@picture_options
@click.option("--batch-size", type=click.IntRange(min=1), help="Items in a step, instead of the preset's.")
@store_option
@click.option("--name", help="Name to publish under, instead of the preset's or your data's.")
@click.option(
    "--run-dir",
    type=Location(),
    help="Where the run's state is kept: a directory, or a URL such as s3://bucket/run.  [default: runs/PRESET]",
)
@click.option(
    "--rate",
    metavar="FACTOR",
    type=click.FloatRange(0, 10, min_open=True),
    help="Factor on the preset's learning rates; one below 1 suits the weights that a long training left (--start).",
)
@click.option(
    "--start",
    metavar="NAME[@VERSION]",
    help="Start from the weights of a model in the store, of the same architecture: to train it further, or on newer "
    "data.",
)
@click.option("--tensorboard", is_flag=True, help="Write the run's curves for TensorBoard into the run directory.")
@click.option(
    "--resume/--fresh",
    default=True,
    show_default=True,
    help="Continue from the state in the run directory if there is one, or start from the beginning and overwrite it.",
)
@device_option
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Decides the split, the initial weights, the order of items and the noise.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="What the nets multiply in while training, instead of the preset's; auto takes bfloat16 where the device is "
    "fast at it.",
)
@click.option(
    "--graph/--no-graph",
    default=True,
    show_default=True,
    help="Record the training step as a CUDA graph, on a CUDA device.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use only the first N training and N test items, for a quick try.",
)
@click.option(
    "--neighbours/--no-neighbours",
    default=True,
    show_default=True,
    help="Keep rows of your table in the model, as the neighbours that its verdicts compare a row with, or none.",
)
@click.option("--publish/--no-publish", default=True, show_default=True, help="Publish the result, or only measure it.")
@exact_float32()
def main(
    preset: str | None,
    list_presets: bool,
    as_json: bool,
    data_dir: Path | None,
    own_path: Path | None,
    columns: tuple[str, ...],
    drop: tuple[str, ...],
    label: str | None,
    kinds: tuple[str, ...],
    header: bool | None,
    epochs: int | None,
    minutes: float | None,
    size: int | None,
    steps: int | None,
    flip: bool | None,
    turn: bool | None,
    crop: int | None,
    known_scenes: bool,
    batch_size: int | None,
    rate: float | None,
    store: Path | str | None,
    name: str | None,
    run_dir: Path | str | None,
    start: str | None,
    tensorboard: bool,
    resume: bool,
    device: str,
    seed: int,
    precision: Precision | None,
    graph: bool,
    limit: int | None,
    neighbours: bool,
    publish: bool,
) -> None:
    """Train the flow that PRESET describes, evaluate it on the test set and publish it to a model store."""
    console = Console(stderr=as_json)
    if list_presets:
        click.echo(json.dumps(list(map(entry, PRESETS.values())), indent=1) if as_json else table(PRESETS.values()))
        return
    if preset is None:
        raise click.UsageError("a PRESET is needed; --list shows them")
    if minutes is not None and epochs is not None:
        raise click.UsageError("--minutes and --epochs exclude each other")
    for option, given in (("--minutes", minutes), ("--rate", rate)):
        if given is not None and math.isnan(given):  # which no range excludes
            raise click.UsageError(f"{option} must be a number")
    wishes = Wishes(names_of(columns), names_of(drop), label, tuple(map(kind_of, kinds)), header)
    if own_path is None and wishes != Wishes():
        raise click.UsageError(
            "--columns, --drop, --label, --kind and --header are for a table of your own: see --data"
        )
    if tensorboard and isinstance(run_dir, str):
        raise click.UsageError("--tensorboard writes into a directory; --run-dir is a URL")
    chosen = PRESETS[preset]
    if preset == PICTURES.name:
        refuse_for_pictures(
            {
                "--epochs": epochs,
                "--batch-size": batch_size,
                "--rate": rate,
                "--limit": limit,
                "--columns": columns,
                "--drop": drop,
                "--label": label is not None,
                "--kind": kinds,
                "--header": header is not None,
                "--start": start,
                "--tensorboard": tensorboard,
                "--no-neighbours": not neighbours,
            }
        )
        train_pictures(
            own_path,
            size=size,
            minutes=minutes,
            steps=steps,
            flip=flip,
            turn=turn,
            crop=crop,
            known_scenes=known_scenes,
            store=_target(store) if publish else None,
            name=name,
            run_dir=run_dir,
            resume=resume,
            device=device,
            seed=seed,
            precision=precision,
            graph=graph,
            as_json=as_json,
            console=console,
        )
        return
    refuse_for_others(
        {
            "--size": size,
            "--steps": steps,
            "--flip": flip,
            "--turn": turn,
            "--crop": crop,
            "--known-scenes": known_scenes or None,
        }
    )
    if own_path is not None:
        own = OwnData(own_path, wishes)
        chosen = dataclasses.replace(chosen, data=own, model=own.name)
    try:
        if publish:
            model_store.check_name(name or chosen.model)
        chosen = sized(chosen, limit)
        chosen = dataclasses.replace(
            chosen,
            epochs=epochs or chosen.epochs,
            minutes=minutes,
            batch_size=batch_size or chosen.batch_size,
            learning_rate=(rate or 1) * chosen.learning_rate,
            muon_rate=(rate or 1) * chosen.muon_rate,
            precision=precision or chosen.precision,
        )
        where = run_dir or Path("runs") / (preset if own_path is None else f"{preset}-{name or chosen.data.name}")
        with (
            stop_on_signals() as stop,
            joined(choose_device(device)) as ranks,
            run_directory(where, alone=ranks.leads) as directory,
        ):
            target = store_at(store) if publish and ranks.leads else None
            if target is not None:
                check_writable(target, name or chosen.model)
            console.quiet = not ranks.leads
            warning = [f"WARNING: restarts of ranks can hang: give torchrun {UNSHARED}"] if restarts_can_hang() else []
            for line in [*warning, *told(chosen)]:
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            started = None if start is None else start_from(start, store_at(store))
            settings = RunSettings(
                run_dir=directory,
                data_dir=data_dir,
                seed=seed,
                limit=limit,
                computing=Computing(precision=choose_precision(chosen.precision, ranks.device), graph=graph),
                resume=resume,
                start=started,
                tensorboard=tensorboard,
                command=_command(chosen, seed, limit, ranks, started, rate, neighbours),
            )
            result = trained_and_published(chosen, settings, ranks, console, stop, target, name, neighbours)
    except Stopped:
        console.print("stopped and saved; the same command continues from here")
        raise SystemExit(128 + (stop.signal or 0)) from None
    except (TrainerError, FlowError, model_store.StoreError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or 'the model'} cannot be written: {error.strerror}; make room and give the same command "
            "again: it continues from the last state that was written"
        ) from error
    if result is not None:
        _tell(*result, as_json)
    ranks.leave()


def _tell(quality: Quality, published: model_store.Published | None, as_json: bool) -> None:
    if as_json:
        at = published and {"name": published.name, "version": published.version, "path": published.place}
        if at and published and published.new:
            at["verdicts"] = published.verdicts
        click.echo(json.dumps({"test": dataclasses.asdict(quality), "published": at}, indent=1))
        return
    click.echo(f"test: {quality}")
    if published and published.new:
        click.echo(f"published {published.name}@{published.version} at {published.place}")
        click.echo(published.verdicts)
    elif published:
        click.echo(
            f"this run is published already, as {published.name}@{published.version} at {published.place}; "
            "--fresh trains it anew"
        )
    if published and published.told_of_default:
        click.echo(published.told_of_default)


def _target(store: Path | str | None) -> Path | model_store.Store:
    try:
        return store_at(store)
    except model_store.StoreError as error:
        raise click.ClickException(str(error)) from error


def _command(
    preset: Preset,
    seed: int,
    limit: int | None,
    ranks: Ranks,
    start: Start | None,
    rate: float | None,
    neighbours: bool,
) -> str:
    """The command that repeats a run, without the user's own paths."""
    words = ["sluice-train", preset.name]
    if ranks.count > 1:
        words.insert(0, f"torchrun --nproc-per-node {ranks.count} --no-python --")
    if isinstance(preset.data, OwnData):
        words.append(f"--data {shlex.quote(preset.data.title)}")
        words += options_of(preset.data.wishes)
    words.append(f"--epochs {preset.epochs}" if preset.minutes is None else f"--minutes {preset.minutes:g}")
    if preset.batch_size != PRESETS[preset.name].batch_size:
        words.append(f"--batch-size {preset.batch_size}")
    if rate is not None:
        words.append(f"--rate {rate!r}")
    words += [f"--seed {seed}", f"--precision {preset.precision}"]
    if limit:
        words.append(f"--limit {limit}")
    if start is not None:
        words.append(f"--start {start.reference}")
    if not neighbours:
        words.append("--no-neighbours")
    return " ".join(words)


if __name__ == "__main__":
    main()
