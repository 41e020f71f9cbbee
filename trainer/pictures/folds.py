"""The flows of a model of pictures: each is trained on crops of the pictures outside its fold."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from torch import Tensor, nn

from flows import bits_per_dim
from flows.architectures.lattice_flow import LatticeFlow
from flows.transforms.lattice_level import LatticeLevel
from trainer.data import Splits
from trainer.errors import Diverged
from trainer.optimisers import learning_rate
from trainer.pictures.crops import cut
from trainer.pictures.plan import FOLDS, PicturePlan
from trainer.presets import Preset
from trainer.run.initial_state import fresh_state
from trainer.run.likelihoods import log_likelihoods
from trainer.run.randomness import noise_keys
from trainer.run.ranks import Ranks
from trainer.run.run_directory import RunDirectory
from trainer.run.settings import Computing
from trainer.run.state import FILE, EpochRecord, Progress, TrainingState
from trainer.run.step import TrainingStep

_CHOOSING = 8
"""An eighth of the pictures outside a fold chooses the weights to keep, and is not trained on."""
_CHECKS = 12
"""Looks at these pictures in a run."""
_CHECKED = 48
"""Crops of them."""
_PATIENCE = 4
"""Looks in a row without a better likelihood that end a run, in its second half: earlier the rate is high."""
_EARLY = 0.5
_MOST_STEPS = 2000


@dataclass(frozen=True)
class TrainedFlow:
    """One flow with its best weights, and how it came to them."""

    flow: LatticeFlow
    history: list[EpochRecord]
    steps: int
    seconds: float


class Halves(nn.Module):
    """A flow whose likelihoods are estimated from half of the pixels, another half drawn in each call."""

    def __init__(self, flow: LatticeFlow, seed: int) -> None:
        super().__init__()
        self.flow, self._generator = flow, torch.Generator().manual_seed(seed)
        self._levels = sum(isinstance(step, LatticeLevel) for step in flow.transforms)

    def forward(self, x: Tensor) -> Tensor:
        starts = torch.randint(2, (self._levels,), generator=self._generator).tolist()
        return self.flow.half_log_prob(x, starts)


class StopRequested(Exception):
    """A signal asked the run to end. The folds that are done are saved."""


def dealt(digests: Sequence[bytes], seed: int) -> Tensor:
    """The fold (n,) of each picture. Pictures of equal pixels are in one fold; else folds differ by one picture."""
    kinds = {digest: place for place, digest in enumerate(dict.fromkeys(digests))}
    order = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(seed))
    return torch.tensor([int(order[kinds[digest]]) % FOLDS for digest in digests])


def train_folds(
    plan: PicturePlan,
    preset: Preset,
    pictures: Sequence[Tensor],
    folds: Tensor,
    *,
    seconds: float | None,
    seed: int,
    device: torch.device,
    computing: Computing,
    run_dir: RunDirectory | None,
    say: Callable[[str], None],
    stop_requested: Callable[[], bool],
) -> list[TrainedFlow]:
    """A flow for each fold. ``seconds`` are shared by them; None where the plan gives a number of steps.

    A fold that was finished in ``run_dir`` before, on the same pictures and with the same wishes, is not trained again.
    Raises StopRequested, or Diverged.
    """
    began, trained = perf_counter(), []
    digest = hashlib.sha256(b"".join(picture.numpy().tobytes() for picture in pictures)).hexdigest()
    for fold in range(FOLDS):
        own = replace(preset, model=f"fold {fold + 1} of {FOLDS}")
        experiment = {"pictures": digest, "fold": fold, "seed": seed, "minutes": plan.minutes, "steps": plan.steps}
        experiment |= {"arguments": dict(preset.arguments), "crop": plan.crop, "batch": preset.batch_size}
        left = None if seconds is None else (seconds - (perf_counter() - began)) / (FOLDS - fold)
        seen = (folds != fold).nonzero().flatten()
        draw = seen[torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed + fold))]
        held = max(2, len(seen) // _CHOOSING)
        splits = Splits(
            cut([pictures[index] for index in draw[held:]], plan.crop, plan.crops, seed + fold),
            cut([pictures[index] for index in draw[:held]], plan.crop, _CHECKED, seed + fold),
            torch.empty(0),
        )
        directory = None if run_dir is None else run_dir.below(f"fold-{fold + 1}")
        state = fresh_state(own, splits, seed + fold, device)
        if directory is not None:
            directory.bring()
        if directory is not None and (directory.path / FILE).exists():
            state.restore(directory.path, experiment)
            say(f"fold {fold + 1} of {FOLDS}: already trained, in {directory}")
        else:
            _train(state, splits, own, plan.steps, left, seed + fold, computing, say, stop_requested)
            if directory is not None:
                state.save(directory.path, experiment)
                if trouble := directory.keep():
                    say(trouble)
                directory.settle()
        state.flow.load_state_dict(state.best)
        flow = state.flow.eval().requires_grad_(False)
        assert isinstance(flow, LatticeFlow)
        history = state.progress.history
        trained.append(TrainedFlow(flow, history, state.progress.step, sum(each.seconds for each in history)))
    return trained


def _train(
    state: TrainingState,
    splits: Splits,
    preset: Preset,
    steps: int | None,
    seconds: float | None,
    seed: int,
    computing: Computing,
    say: Callable[[str], None],
    stop_requested: Callable[[], bool],
) -> None:
    """Train to the end of a number of steps, or of a budget of time. The best weights are in ``state.best`` then."""
    device, ranks = state.flow.device, Ranks(state.flow.device)
    items = splits.train.to(device)
    assert isinstance(state.flow, LatticeFlow)
    # A recorded step would see the same half of the pixels every time.
    model = state.flow if computing.graph and device.type == "cuda" else Halves(state.flow, seed)
    step = TrainingStep(state, model, items, preset, computing.precision, ranks)
    step.prepare(computing.graph, say)
    validation = splits.validation.to(device)
    generator = torch.Generator().manual_seed(seed)
    began = before = perf_counter()
    most = steps or _MOST_STEPS
    look_every = max(1, most // _CHECKS) if steps else None
    number, since, worse = 0, 0, 0
    step.begin(state.progress)
    while True:
        share = number / most if seconds is None else (perf_counter() - began) / seconds
        rows = torch.randint(len(items), (preset.batch_size,), generator=generator).to(device)
        keys = noise_keys(seed, 0, number, preset.batch_size, device)
        step(rows, keys, number, learning_rate(preset, number, share))
        number, since = number + 1, since + 1
        if stop_requested():
            raise StopRequested
        now = perf_counter()
        over = number >= most or (seconds is not None and now - began >= seconds)
        due = since >= look_every if look_every else now - before >= (seconds or 0.0) / _CHECKS
        if not (over or due):
            continue
        step.report(state.progress)
        found = float(log_likelihoods(state.evaluated, validation, 16).mean())
        mean = state.progress.log_likelihood_sum / max(1, since - state.progress.skipped)
        history = state.progress.history
        record = EpochRecord(len(history) + 1, mean, found, now - before, state.progress.skipped)
        if not math.isfinite(found) or state.progress.skipped >= since:
            raise Diverged(f"{preset.model}: no finite likelihood after {number} steps")
        if state.progress.best is None or found > state.progress.best.validation:
            state.keep_best()
            worse = 0
        else:
            worse += share > _EARLY
        state.progress = Progress(step=number, history=[*history, record])
        bits = bits_per_dim(found, state.flow.dimensions)
        say(f"{preset.model}: {number} steps, {bits:.3f} bits/dim held out, {now - began:.0f} s")
        step.begin(state.progress)
        before, since = perf_counter(), 0
        if over or worse >= _PATIENCE:
            return
