"""One experiment from its preset to its best weights: data, a fresh or a resumed state, training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import flows
from flows import DiagonalScaling, Flow
from trainer import data
from trainer.device import Precision
from trainer.display import Several, display_on
from trainer.errors import DataError
from trainer.events import events_in
from trainer.finished import Finished
from trainer.loop import train
from trainer.muon import Muon
from trainer.parallel import Ranks
from trainer.preset import Preset
from trainer.state import FILE, TrainingState


def run(
    preset: Preset,
    *,
    data_dir: Path | None,
    run_dir: Path,
    resume: bool,
    seed: int,
    limit: int | None,
    ranks: Ranks,
    precision: Precision,
    events: bool,
    console: Console,
    stop_requested: Callable[[], bool],
    command: str,
) -> Finished | None:
    """Train a preset in a run directory, going on where a state lies if ``resume``. None when stopped before the end.

    With ``events`` TensorBoard finds the run's curves below the run directory.

    Raises DataError, RunStateError or Diverged.
    """
    splits = data.load(preset.data, data_dir, seed=seed, limit=limit)
    experiment = {
        **asdict(replace(preset, smoke=None)),
        "data": [preset.data.name, splits.digest()],
        "seed": seed,
        "limit": limit,
        "precision": precision,
    }
    ranks.check(preset.batch_size)
    state = fresh_state(preset, splits, seed, ranks.device)
    if resume and (run_dir / FILE).exists():
        state.restore(run_dir, experiment)
        console.print(
            f"resuming {run_dir} behind epoch {state.progress.epoch}, step {state.progress.step}", markup=False
        )

    with ExitStack() as open_displays:
        displays = [open_displays.enter_context(display_on(console, state.flow, preset))]
        if events and ranks.leads:
            steps_done = state.progress.epoch * (len(splits.train) // preset.batch_size) + state.progress.step
            displays.append(
                open_displays.enter_context(events_in(run_dir / "events", state.flow, preset, steps_done + 1))
            )
        finished = train(
            state,
            splits,
            preset,
            seed=seed,
            precision=precision,
            ranks=ranks,
            save=lambda: state.save(run_dir, experiment) if ranks.leads else None,
            display=Several(displays),
            stop_requested=stop_requested,
        )
    best = state.progress.best
    if not finished or best is None:
        return None
    state.flow.load_state_dict(state.best)
    return Finished(state.flow, preset, splits, state.progress.history, best, seed, precision, command)


def fresh_state(preset: Preset, splits: data.Splits, seed: int, device: torch.device) -> TrainingState:
    """A flow with random nets by the seed and data-dependent parameters from training items, and its optimiser."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        flow = flows.build(preset.architecture, splits.item_shape, preset.arguments).to(device)
    if flow.is_image != splits.are_images:
        held, wanted = ("images", "vectors") if splits.are_images else ("vectors", "images")
        raise DataError(f"{preset.data.name}: holds {held}, and {preset.name} is a flow of {wanted}")
    if preset.channels_last:
        flow = flow.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types three ways of four
    flow.initialise(flow.to_continuous(splits.train[: preset.initial_items], seed))
    kind = Muon if preset.muon_rate else torch.optim.AdamW
    optimiser = kind(parameter_groups(flow, preset), betas=preset.betas)
    return TrainingState(flow, optimiser, copy.deepcopy(flow) if preset.ema_decay else None)


def parameter_groups(flow: Flow, preset: Preset) -> list[dict[str, Any]]:
    """Every parameter of a flow, in groups that differ in decay, in optimiser, and in what multiplies their rate.

    The matrices and kernels of nets decay; biases, and what transforms hold themselves, do not. The log-scales of
    diagonal scalings learn faster: they have whole units to go while couplings take the variance out of the data, and
    Adam moves a parameter by no more than about one learning rate a step, so at the rate that suits a net's weights
    they would hold up everything.
    """
    nets = {id(layer.weight) for layer in flow.modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    scales = {id(module.log_scale) for module in flow.modules() if isinstance(module, DiagonalScaling)}
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "inner": [], "scales": [], "others": []}
    for parameter in flow.parameters():
        if id(parameter) in nets:
            inner = preset.muon_rate and bool(parameter.any())
            groups["inner" if inner else "matrices"].append(parameter)
        else:
            groups["scales" if id(parameter) in scales else "others"].append(parameter)
    by_adam = [
        {"params": groups["matrices"], "boost": 1.0, "weight_decay": preset.weight_decay},
        {"params": groups["others"], "boost": 1.0, "weight_decay": 0.0},
        {"params": groups["scales"], "boost": preset.scaling_boost, "weight_decay": 0.0},
    ]
    if not groups["inner"]:
        return by_adam
    boost = preset.muon_rate / preset.learning_rate
    return [*by_adam, {"params": groups["inner"], "boost": boost, "weight_decay": preset.weight_decay, "muon": True}]
