"""The training loop: one page, top to bottom."""

from __future__ import annotations

import math
from time import perf_counter

import torch
from torch import Tensor

from trainer.data import Splits
from trainer.errors import DataError, Diverged
from trainer.optimisers import learning_rate
from trainer.presets import Preset
from trainer.run.device import device_name
from trainer.run.half_places import HalfPlaces
from trainer.run.hooks import Hooks
from trainer.run.length import length_of
from trainer.run.likelihoods import log_likelihoods
from trainer.run.randomness import batch_order, noise_keys
from trainer.run.ranks import Ranks
from trainer.run.settings import Computing
from trainer.run.state import EpochRecord, Progress, TrainingState, Validation
from trainer.run.step import TrainingStep, skipped_at_most

SAVE_EVERY = 600.0
"""Seconds after which the state is saved within an epoch, so that a process that is killed loses no more."""
REPORT_EVERY = 50
"""Steps between two looks at the sums on a CUDA device: each look waits for all steps before it."""


def train(
    state: TrainingState,
    splits: Splits,
    preset: Preset,
    *,
    seed: int,
    computing: Computing,
    ranks: Ranks,
    hooks: Hooks,
    began: float | None = None,
    validations_afterwards: int = 0,
) -> bool:
    """Maximise the mean log-likelihood of the training set, from the given state to the end of the run.

    After each epoch the mean log-likelihood of the validation split decides whether the weights are the best so far,
    and the state is saved, as it is every ten minutes of a longer epoch. Where the preset asks for an average of the
    weights, the average is what is validated and kept. A step whose gradient is not finite is skipped and counted.

    Where the best epoch is kept, a fresh state is validated before its first step, as epoch 0, and is kept unless an
    epoch is better. Its time counts towards a budget, and it is left out where it would take a quarter of what is left.

    A preset's budget of time counts from ``began``, a value of ``perf_counter``; its last epoch may be a part of one.
    The budget leaves time for some ``validations_afterwards``. A budget that is over before the first step still gets
    that step.

    Each of several ranks takes its share of every batch. They arrive at the weights that one rank would arrive at.

    Returns True when the run is at its end or the preset's patience is exhausted, False when stopped before. Raises
    Diverged when too many consecutive steps are not finite, or when the validation is not.
    """
    flow, progress, device = state.flow, state.progress, state.flow.device
    validation, items = ranks.share(splits.validation).to(device), splits.train.to(device)
    steps = preset.steps_of(len(items))
    if steps == 0:
        count = f"{len(items)} training items"
        raise DataError(f"{preset.data.name}: {count} do not fill a batch of {preset.batch_size}; see --batch-size")
    length, lap = length_of(preset, splits, state.evaluated, validations_afterwards), Lap(began)
    model = HalfPlaces(flow) if preset.half_places else flow
    step = TrainingStep(state, ranks.wrap(model), items, preset, computing.precision, ranks)
    if not length.over(progress):
        step.prepare(computing.graph, hooks.say)
        progress.spent += lap()
        fresh = progress.epoch == progress.step == 0 and progress.initial is None
        if fresh and preset.keep_best and length.affords_initial_validation(progress):
            validate_initial_state(state, validation, len(splits.validation), ranks, hooks)
    report_every = REPORT_EVERY if device.type == "cuda" else 1
    saved_at = progress.spent

    while not length.over(progress) and not out_of_patience(preset, progress):
        order = batch_order(seed, progress.epoch, preset.passes * len(items))[: steps * preset.batch_size] % len(items)
        rows = ranks.share(order.reshape(steps, -1).T).T.to(device)
        numbers = torch.arange(steps, device=device)[:, None]
        keys = ranks.share(noise_keys(seed, progress.epoch, numbers, preset.batch_size, device).T).T
        step.begin(progress)
        hooks.display.epoch_begins(progress, steps)
        progress.spent += lap()
        while progress.step < steps and not length.over(progress):
            number = progress.epoch * steps + progress.step
            progress.rate = learning_rate(preset, number, length.done(progress))
            step(rows[progress.step], keys[progress.step], number, progress.rate)
            progress.step += 1
            reported = progress.step % report_every == 0 or progress.step == steps
            if reported:
                step.report(progress)
            taken = lap()
            progress.seconds += taken
            progress.spent += taken
            if reported:
                hooks.display.step_done(progress)
            if reported and progress.skipped_in_a_row >= skipped_at_most(steps):
                raise Diverged(
                    f"{progress.skipped_in_a_row} steps in a row had no finite gradient, "
                    f"up to step {progress.step} of epoch {progress.epoch + 1}; "
                    "a lower learning rate may help, --fresh starts from the beginning"
                )
            if (reported or ranks.count == 1) and ranks.any(hooks.stop_requested()):
                step.report(progress)
                hooks.save()
                return False
            if reported and progress.spent - saved_at > SAVE_EVERY:
                hooks.save()
                saved_at = progress.spent

        step.report(progress)
        record = EpochRecord(
            epoch=progress.epoch + 1,
            train=progress.log_likelihood_sum / max(1, progress.step - progress.skipped),
            validation=mean_log_likelihood(state, validation, len(splits.validation), ranks),
            seconds=progress.seconds,
            skipped=progress.skipped,
            device=device_name(device),
        )
        if not math.isfinite(record.validation):
            raise Diverged(f"validation gave {record.validation} nats after epoch {record.epoch}")
        if not preset.keep_best or progress.best is None or record.validation > progress.best.validation:
            state.keep_best()
        state.progress = progress = Progress(
            epoch=record.epoch,
            skipped_in_a_row=progress.skipped_in_a_row,
            spent=progress.spent + lap(),
            history=[*progress.history, record],
            initial=progress.initial,
        )
        progress.finished = length.over(progress)
        hooks.save()
        saved_at = progress.spent
        hooks.display.epoch_done(record)
    if preset.patience is not None and out_of_patience(preset, progress):
        hooks.display.stopped_early(progress, preset.patience)
    return True


class Lap:
    """A stopwatch: each call returns the seconds since the call before, the first call those since ``began``."""

    def __init__(self, began: float | None = None) -> None:
        self.before = perf_counter() if began is None else began

    def __call__(self) -> float:
        now = perf_counter()
        taken, self.before = now - self.before, now
        return taken


def mean_log_likelihood(state: TrainingState, validation: Tensor, count: int, ranks: Ranks) -> float:
    """The mean log-likelihood in nats of ``count`` validation items, of which ``validation`` is this rank's share."""
    return float(ranks.sum(log_likelihoods(state.evaluated, validation).sum()).item() / count)


def validate_initial_state(state: TrainingState, validation: Tensor, count: int, ranks: Ranks, hooks: Hooks) -> None:
    """Make a fresh state the best so far. One whose likelihood is not finite is no candidate."""
    found = mean_log_likelihood(state, validation, count, ranks)
    if math.isfinite(found):
        state.progress.initial = Validation(epoch=0, validation=found)
        state.keep_best()
        hooks.display.initial_validated(state.progress.initial)


def out_of_patience(preset: Preset, progress: Progress) -> bool:
    """Whether the best epoch is at least ``patience`` epochs old.

    The initial state does not count: one that is fitted to the data may be better than the first epochs, and later ones
    better than it.
    """
    if preset.patience is None or not progress.history:
        return False
    best = max(progress.history, key=lambda record: record.validation)
    return progress.epoch - best.epoch >= preset.patience
