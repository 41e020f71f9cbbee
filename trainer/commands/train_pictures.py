"""``sluice-train pictures``: look at a folder, say what will be done, train, calibrate, publish."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from time import perf_counter

import click
import torch
from rich.console import Console

import model_store
from flows import FlowError
from model_store import Store
from trainer.data import OwnData, picture_folder
from trainer.errors import TrainerError
from trainer.pictures.folds import StopRequested, TrainedFlow, dealt, train_folds
from trainer.pictures.plan import FOLDS, PicturePlan, planned
from trainer.pictures.publication import published
from trainer.presets import Precision
from trainer.presets.pictures import PICTURES
from trainer.run.device import choose_device, choose_precision
from trainer.run.finished import device_name, own_version
from trainer.run.run_directory import run_directory
from trainer.run.settings import Computing
from trainer.run.stopping import stop_on_signals

_AFTERWARDS = 0.1
"""The share of a budget that is kept for calibration, the card's pictures and publishing."""


def train_pictures(
    folder: Path | None,
    *,
    size: int | None,
    minutes: float | None,
    steps: int | None,
    store: Path | Store | None,
    name: str | None,
    run_dir: Path | str | None,
    resume: bool,
    device: str,
    seed: int,
    precision: Precision | None,
    graph: bool,
    as_json: bool,
    console: Console,
) -> None:
    """The whole command. ``store`` is None where nothing is to be published. Raises UsageError, ClickException."""
    if folder is None:
        raise click.UsageError("pictures needs --data DIR: a folder of pictures")
    if minutes is not None and steps is not None:
        raise click.UsageError("--minutes and --steps exclude each other")
    began = perf_counter()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    try:
        plan = planned(picture_folder.look(folder), size=size, minutes=minutes, steps=steps)
        for line in [*plan.found.told(), *plan.told()]:
            say(line)
        preset = plan.preset(PICTURES)
        own = OwnData(folder)
        chosen = choose_device(device)
        computing = Computing(precision=choose_precision(precision or preset.precision, chosen), graph=graph)
        arrays, digests = picture_folder.read(plan.found, plan.preparation, say)
        items, folds = [torch.from_numpy(each) for each in arrays], dealt(digests, seed)
        where = run_dir or Path("runs") / f"{preset.name}-{name or own.name}"
        with stop_on_signals() as stop, run_directory(where) as directory:
            for fold in range(0 if resume else FOLDS):
                directory.below(f"fold-{fold + 1}").forget()
            seconds = plan.minutes and (1 - _AFTERWARDS) * 60 * plan.minutes - (perf_counter() - began)
            flows = train_folds(
                plan,
                preset,
                items,
                folds,
                seconds=seconds,
                seed=seed,
                device=chosen,
                computing=computing,
                run_dir=directory,
                say=say,
                stop_requested=stop,
            )
        quality, at = published(
            plan,
            preset,
            flows,
            items,
            folds,
            store=store,
            name=name or own.name,
            seed=seed,
            provenance=_provenance(plan, flows, folder, seed, computing),
            say=say,
        )
    except StopRequested:
        say("stopped; the folds that are done are saved, and the same command continues after them")
        raise SystemExit(128 + (stop.signal or 0)) from None
    except (TrainerError, FlowError, model_store.StoreError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'the model'} cannot be written: {error.strerror}") from error
    if as_json:
        told = at and {"name": at.name, "version": at.version, "path": at.place}
        click.echo(json.dumps({"held_out": dataclasses.asdict(quality), "published": told}, indent=1))
        return
    click.echo(f"held out: {quality.bits_per_dim:.3f} bits/dim")
    if at:
        click.echo(f"published {at.name}@{at.version} at {at.place}")
        click.echo(at.verdicts)


def _provenance(
    plan: PicturePlan, flows: list[TrainedFlow], folder: Path, seed: int, computing: Computing
) -> dict[str, str | int | float]:
    words = ["sluice-train", PICTURES.name, "--data", shlex.quote(folder.resolve().name)]
    words += ["--size", str(plan.preparation.longest)]
    words += ["--steps", str(plan.steps)] if plan.steps else ["--minutes", f"{plan.minutes:g}"]
    return {
        "command": " ".join([*words, "--seed", str(seed)]),
        "preset": PICTURES.name,
        "data": OwnData(folder).name,
        "seed": seed,
        "pictures": len(plan.sizes),
        "steps": sum(each.steps for each in flows),
        "training_seconds": round(sum(each.seconds for each in flows), 1),
        "device": device_name(flows[0].flow.device),
        "precision": computing.precision,
        "torch": torch.__version__,
        "sluice": own_version(),
    }
