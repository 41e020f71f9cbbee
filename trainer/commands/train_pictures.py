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
from trainer.commands.writable import check_writable
from trainer.data import OwnData, picture_folder
from trainer.data.names import readable
from trainer.errors import TrainerError
from trainer.pictures.arrangement import arranged
from trainer.pictures.budget import kept_seconds, needed_seconds, told_of_kept
from trainer.pictures.folds import train_folds
from trainer.pictures.plan import FOLDS, PicturePlan, planned
from trainer.pictures.publication import published
from trainer.pictures.training import Run, StopRequested, TrainedFlow
from trainer.pictures.trial import tried
from trainer.presets import Precision
from trainer.presets.pictures import PICTURES
from trainer.run.device import choose_device, choose_precision, device_name
from trainer.run.finished import own_version
from trainer.run.run_directory import run_directory
from trainer.run.settings import Computing
from trainer.run.stopping import stop_on_signals


def train_pictures(
    folder: Path | None,
    *,
    size: int | None,
    minutes: float | None,
    steps: int | None,
    flip: bool | None,
    turn: bool | None,
    crop: int | None,
    known_scenes: bool,
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
        console.print(readable(text), markup=False, highlight=False, soft_wrap=True)

    try:
        own = OwnData(folder)
        if store is not None:
            model_store.check_name(name or own.name)
            check_writable(store, name or own.name)
        found = picture_folder.look(folder)
        for line in found.told():
            say(line)
        plan = planned(found, size=size, minutes=minutes, steps=steps, crop=crop)
        chosen = choose_device(device)
        computing = Computing(precision=choose_precision(precision or PICTURES.precision, chosen), graph=graph)
        found, arrays = picture_folder.read(found, plan.preparation, say)
        for line in found.told_of_copies():
            say(line)
        plan = planned(found, size=size, minutes=minutes, steps=steps, crop=crop)
        for line in plan.told():
            say(line)
        items = [torch.from_numpy(each) for each in arrays]
        plan, parts = arranged(plan, items, seed, known_scenes=known_scenes)
        say(f"place: {plan.told_of_place()}")
        say(f"scenes: {plan.told_of_scenes()}")
        where = run_dir or Path("runs") / f"{PICTURES.name}-{name or own.name}"

        kept = 0.0

        def left() -> float | None:
            return plan.minutes and 60 * plan.minutes - kept - (perf_counter() - began)

        with stop_on_signals() as stop, run_directory(where) as directory:
            for part in () if resume else ("trial", *(f"fold-{fold + 1}" for fold in range(FOLDS))):
                directory.below(part).forget()
            if plan.minutes is not None:
                needed = needed_seconds(plan, plan.preset(PICTURES), chosen, publishing=store is not None)
                trained = any(directory.below(f"fold-{fold + 1}").holds_state() for fold in range(FOLDS))
                kept = kept_seconds(plan, needed, spent=perf_counter() - began, trained=trained)
                for line in told_of_kept(plan, kept):
                    say(line)
            run = Run(plan.preset(PICTURES), chosen, computing, say, stop)
            augmentation = tried(
                run, plan, items, parts, seconds=left(), seed=seed, run_dir=directory, flip=flip, turn=turn
            )
            plan = dataclasses.replace(plan, augmentation=augmentation)
            flows = train_folds(run, plan, items, parts, seconds=left(), seed=seed, run_dir=directory)

            def pause() -> None:
                if stop():
                    raise StopRequested

            def say_or_stop(text: str) -> None:
                pause()
                say(text)

            quality, at = published(
                plan,
                run.preset,
                flows,
                items,
                parts,
                store=store,
                name=name or own.name,
                seed=seed,
                provenance=_provenance(plan, flows, folder, seed, computing),
                say=say_or_stop,
                pause=pause,
            )
    except StopRequested:
        say("stopped; flows that are finished are saved, and the same command goes on after them")
        raise SystemExit(128 + (stop.signal or 0)) from None
    except (TrainerError, FlowError, model_store.StoreError) as error:
        raise click.ClickException(readable(str(error))) from error
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
        if plan.least_alpha_of_scenes is not None:
            click.echo(f"for new scenes, at an --alpha of {plan.least_alpha_of_scenes:g} or more")


def _provenance(
    plan: PicturePlan, flows: list[TrainedFlow], folder: Path, seed: int, computing: Computing
) -> dict[str, str | int | float]:
    words = ["sluice-train", PICTURES.name, "--data", shlex.quote(OwnData(folder).title)]
    words += ["--size", str(plan.size)]
    words += ["--steps", str(plan.steps)] if plan.steps else ["--minutes", f"{plan.minutes:g}"]
    words += ["--flip" if plan.augmentation.flip else "--no-flip", "--turn" if plan.augmentation.turn else "--no-turn"]
    words += ["--crop", str(plan.crop), *(["--known-scenes"] if plan.known_scenes else [])]
    if computing.precision != choose_precision(PICTURES.precision, flows[0].flow.device):
        words += ["--precision", computing.precision]
    devices = dict.fromkeys(record.device for each in flows for record in each.history if record.device)
    return {
        "command": " ".join([*words, "--seed", str(seed)]),
        "preset": PICTURES.name,
        "data": OwnData(folder).name,
        "seed": seed,
        "pictures": len(plan.sizes),
        "steps": sum(each.steps for each in flows),
        "training_seconds": round(sum(each.seconds for each in flows), 1),
        "device": ", ".join(devices) or device_name(flows[0].flow.device),
        "precision": computing.precision,
        "torch": torch.__version__,
        "sluice": own_version(),
    }
