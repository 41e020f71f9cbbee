"""One flow of crops of pictures: from random weights to the end of its steps or of its time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from flows import bits_per_dim
from flows.architectures.lattice_flow import LatticeFlow
from flows.transforms.lattice_level import LatticeLevel
from trainer.data import Splits
from trainer.errors import Diverged
from trainer.optimisers import learning_rate
from trainer.presets import Preset
from trainer.run.initial_state import fresh_state
from trainer.run.randomness import noise_keys
from trainer.run.ranks import Ranks
from trainer.run.run_directory import RunDirectory
from trainer.run.settings import Computing
from trainer.run.state import EpochRecord, Progress, TrainingState, Validation
from trainer.run.step import TrainingStep

_CHECKS = 12
"""Looks at the held-out crops in a run."""
_PATIENCE = 4
"""Looks in a row without a better likelihood that end a run, in its second half: earlier the rate is high."""
_EARLY = 0.5
_MOST_STEPS = 2000
_HIDDEN = 1 / 8
"""The share of steps whose nets do not see the template: samples and inpainting have none."""
_AT_ONCE = 16


@dataclass(frozen=True)
class CropSplits:
    """uint8 crops (N, S, S[, C]) to train on, and others that choose the weights; beside them what is usual there."""

    train: Tensor
    held: Tensor
    train_templates: Tensor | None = None
    held_templates: Tensor | None = None


@dataclass(frozen=True)
class TrainedFlow:
    """One flow with its best weights, and how it came to them."""

    flow: LatticeFlow
    history: list[EpochRecord]
    initial: Validation | None
    """The held-out crops under the initial weights; None in states of older versions."""
    best: Validation
    steps: int
    seconds: float


class DrawnHalves(nn.Module):
    """A flow whose likelihoods are estimated from half of the pixels, another half drawn in each call."""

    def __init__(self, flow: LatticeFlow, seed: int) -> None:
        super().__init__()
        self.flow, self._generator = flow, torch.Generator().manual_seed(seed)
        self._levels = sum(isinstance(step, LatticeLevel) for step in flow.transforms)
        self.templates: Tensor | None = None
        """(N, S, S[, C]) uint8: what is usual at the places of each training crop."""
        self.rows: Tensor | None = None
        """(B,): the training crops of the next call."""

    def forward(self, x: Tensor) -> Tensor:
        starts = torch.randint(2, (self._levels,), generator=self._generator).tolist()
        template = None
        if self.templates is not None and float(torch.rand(1, generator=self._generator)) >= _HIDDEN:
            template = self.templates[self.rows].to(x.dtype) / 255
        return self.flow.half_log_prob(x, starts, template)


class StopRequested(Exception):
    """A signal asked the run to end. The folds that are done are saved."""


@dataclass(frozen=True)
class Run:
    """What the training of all flows of a model has in common."""

    preset: Preset
    device: torch.device
    computing: Computing
    say: Callable[[str], None]
    stop_requested: Callable[[], bool]


def trained(
    run: Run,
    crops: CropSplits,
    *,
    steps: int | None,
    seconds: float | None,
    seed: int,
    directory: RunDirectory | None,
    experiment: dict[str, object],
) -> TrainedFlow:
    """A flow of the crops, by a number of steps or a budget of time.

    A flow that was finished in ``directory`` before, in the same ``experiment``, is not trained again. Raises
    StopRequested, or Diverged.
    """
    splits = Splits(crops.train, crops.held, torch.empty(0))
    state = fresh_state(run.preset, splits, seed, run.device)
    if directory is not None and directory.holds_state():
        state.restore(directory.path, experiment)
        run.say(f"{run.preset.model}: already trained, in {directory}")
    else:
        _train(state, crops, run, steps, seconds, seed)
        if directory is not None:
            state.save(directory.path, experiment)
            if trouble := directory.keep():
                run.say(trouble)
            directory.settle()
    state.flow.load_state_dict(state.best)
    flow = state.flow.eval().requires_grad_(False)
    assert isinstance(flow, LatticeFlow)
    progress = state.progress
    assert progress.best is not None
    seconds_spent = sum(each.seconds for each in progress.history)
    return TrainedFlow(flow, progress.history, progress.initial, progress.best, progress.step, seconds_spent)


@torch.no_grad()
def held_out(flow: LatticeFlow, crops: Tensor, templates: Tensor | None) -> Tensor:
    """Log-likelihoods (N,) in nats, float64 on the CPU, of crops (N, S, S[, C]) uint8."""
    found = []
    for first in range(0, len(crops), _AT_ONCE):
        x = flow.to_continuous(crops[first : first + _AT_ONCE])
        if templates is None:
            found.append(flow.log_prob(x))
        else:
            own = templates[first : first + _AT_ONCE].to(x) / 255
            found.append(flow.pixel_log_densities(x, template=own).sum(dim=(1, 2)))
    return torch.cat(found).double().cpu()


def _train(
    state: TrainingState, crops: CropSplits, run: Run, steps: int | None, seconds: float | None, seed: int
) -> None:
    """Train to the end of a number of steps, or of a budget of time, and of ``_MOST_STEPS`` at most.

    The rate falls towards whichever end comes first. The best weights are in ``state.best`` then. These may be the
    initial ones, which are looked at first. That look counts towards the budget.
    """
    device, ranks, preset = state.flow.device, Ranks(state.flow.device), run.preset
    items = crops.train.to(device)
    assert isinstance(state.flow, LatticeFlow)
    # A recorded step would see the same half of the pixels every time, and no template.
    recorded = run.computing.graph and device.type == "cuda" and crops.train_templates is None
    model = state.flow if recorded else DrawnHalves(state.flow, seed)
    step = TrainingStep(state, model, items, preset, run.computing.precision, ranks)
    if isinstance(model, DrawnHalves) and crops.train_templates is not None:
        model.templates, model.rows = crops.train_templates.to(device), step.rows
    step.prepare(recorded, run.say)
    validation = crops.held.to(device)
    usual = None if crops.held_templates is None else crops.held_templates.to(device)
    generator = torch.Generator().manual_seed(seed)
    began = before = perf_counter()
    most = steps or _MOST_STEPS
    look_every = max(1, most // _CHECKS)
    number, since, worse = 0, 0, 0
    first = float(held_out(_evaluated(state), validation, usual).mean())
    if math.isfinite(first):
        state.progress.initial = Validation(epoch=0, validation=first)
        state.keep_best()
    step.begin(state.progress)
    while True:
        share = max(number / most, 0.0 if seconds is None else (perf_counter() - began) / seconds)
        rows = torch.randint(len(items), (preset.batch_size,), generator=generator).to(device)
        keys = noise_keys(seed, 0, number, preset.batch_size, device)
        step(rows, keys, number, learning_rate(preset, number, share))
        number, since = number + 1, since + 1
        if run.stop_requested():
            raise StopRequested
        now = perf_counter()
        over = number >= most or (seconds is not None and now - began >= seconds)
        due = since >= look_every or (seconds is not None and now - before >= seconds / _CHECKS)
        if not (over or due):
            continue
        step.report(state.progress)
        found = float(held_out(_evaluated(state), validation, usual).mean())
        mean = state.progress.log_likelihood_sum / max(1, since - state.progress.skipped)
        history = state.progress.history
        record = EpochRecord(
            epoch=len(history) + 1,
            train=mean,
            validation=found,
            seconds=now - before,
            skipped=state.progress.skipped,
        )
        if not math.isfinite(found) or state.progress.skipped >= since:
            raise Diverged(f"{preset.model}: no finite likelihood after {number} steps")
        if state.progress.best is None or found > state.progress.best.validation:
            state.keep_best()
            worse = 0
        else:
            worse += share > _EARLY
        state.progress = Progress(step=number, history=[*history, record], initial=state.progress.initial)
        bits = bits_per_dim(found, state.flow.dimensions)
        run.say(f"{preset.model}: {number} steps, {bits:.3f} bits/dim held out, {now - began:.0f} s")
        step.begin(state.progress)
        before, since = perf_counter(), 0
        if over or worse >= _PATIENCE:
            return


def _evaluated(state: TrainingState) -> LatticeFlow:
    flow = state.evaluated
    assert isinstance(flow, LatticeFlow)
    return flow
