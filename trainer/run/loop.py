"""The training loop: one page, top to bottom."""

from __future__ import annotations

import math
from time import perf_counter

from torch.nn.utils import clip_grad_norm_

from trainer.data import Splits
from trainer.errors import DataError, Diverged
from trainer.optimisers import ema_decay, learning_rate
from trainer.presets import Precision, Preset
from trainer.run.device import autocast, tf32
from trainer.run.hooks import Hooks
from trainer.run.jitter import Jitter
from trainer.run.likelihoods import log_likelihoods
from trainer.run.randomness import batch_order, dequantise, noise_keys
from trainer.run.ranks import Ranks
from trainer.run.state import EpochRecord, Progress, TrainingState

MOST_SKIPPED_IN_A_ROW = 20
"""Consecutive steps without a finite gradient that end a run. An epoch of fewer steps must have one that is finite."""


def train(
    state: TrainingState,
    splits: Splits,
    preset: Preset,
    *,
    seed: int,
    precision: Precision,
    ranks: Ranks,
    hooks: Hooks,
) -> bool:
    """Maximise the mean log-likelihood of the training set, from the given state to the end of the last epoch.

    After each epoch the mean log-likelihood of the validation split decides whether the weights are the best so far,
    and the state is saved. Where the preset asks for an average of the weights, the average is what is validated and
    kept. A step whose gradient is not finite is skipped and counted.

    Each of several ranks takes its share of every batch. They arrive at the weights that one rank would arrive at.

    Returns True when the last epoch is done or the preset's patience is exhausted, False when stopped before. Raises
    Diverged when too many consecutive steps are not finite, or when the validation is not.
    """
    flow, optimiser, progress = state.flow, state.optimiser, state.progress
    model, validation = ranks.wrap(flow), ranks.share(splits.validation).to(flow.device)
    items = splits.train.to(flow.device)
    steps = preset.passes * len(items) // preset.batch_size
    jitter = Jitter.of(flow, items, preset, seed)
    if steps == 0:
        count = f"{len(items)} training items"
        raise DataError(f"{preset.data.name}: {count} do not fill a batch of {preset.batch_size}; see --batch-size")

    with tf32():
        while progress.epoch < preset.epochs and not out_of_patience(preset, progress) and spent(preset, progress) < 1:
            order = batch_order(seed, progress.epoch, preset.passes * len(items)) % len(items)
            hooks.display.epoch_begins(progress, steps)
            while progress.step < steps:
                began = perf_counter()
                step = progress.epoch * steps + progress.step
                rate = learning_rate(preset, step, preset.epochs * steps, spent(preset, progress))
                for group in optimiser.param_groups:
                    group["lr"] = group["boost"] * rate

                rows = order[progress.step * preset.batch_size :][: preset.batch_size].to(flow.device)
                keys = noise_keys(seed, progress.epoch, progress.step, len(rows), flow.device)
                x = dequantise(flow, items[ranks.share(rows)], ranks.share(keys))
                if jitter is not None:
                    x = jitter(x, ranks.share(keys))
                with autocast(flow.device, precision):
                    log_likelihood = model(x).mean()
                optimiser.zero_grad()
                (-log_likelihood / flow.dimensions).backward()
                if clip_grad_norm_(flow.parameters(), preset.clip_norm).isfinite():
                    optimiser.step()
                    state.update_average(ema_decay(preset, step))
                    progress.log_likelihood_sum += ranks.sum(log_likelihood).item() / ranks.count
                    progress.skipped_in_a_row = 0
                else:
                    progress.skipped += 1
                    progress.skipped_in_a_row += 1

                progress.step += 1
                progress.seconds += perf_counter() - began
                hooks.display.step_done(progress)
                if progress.skipped_in_a_row == min(steps, MOST_SKIPPED_IN_A_ROW):
                    raise Diverged(
                        f"{progress.skipped_in_a_row} steps in a row had no finite gradient, "
                        f"up to step {progress.step} of epoch {progress.epoch + 1}; "
                        "a lower learning rate may help, --fresh starts from the beginning"
                    )
                if ranks.any(spent(preset, progress) >= 1):
                    break
                if ranks.any(hooks.stop_requested()):
                    hooks.save()
                    return False

            validated = ranks.sum(log_likelihoods(state.evaluated, validation).sum()).item() / len(splits.validation)
            record = EpochRecord(
                epoch=progress.epoch + 1,
                train=progress.log_likelihood_sum / max(1, progress.step - progress.skipped),
                validation=validated,
                seconds=progress.seconds,
                skipped=progress.skipped,
            )
            if not math.isfinite(record.validation):
                raise Diverged(f"validation gave {record.validation} nats after epoch {record.epoch}")
            if not preset.keep_best or progress.best is None or record.validation > progress.best.validation:
                state.keep_best()
            state.progress = progress = Progress(
                epoch=record.epoch, skipped_in_a_row=progress.skipped_in_a_row, history=[*progress.history, record]
            )
            hooks.save()
            hooks.display.epoch_done(record)
    if preset.patience is not None and out_of_patience(preset, progress):
        hooks.display.stopped_early(progress, preset.patience)
    return True


def spent(preset: Preset, progress: Progress) -> float:
    """The share of the preset's seconds that training has taken; 0 where it has no limit."""
    if preset.seconds is None:
        return 0.0
    return (sum(record.seconds for record in progress.history) + progress.seconds) / preset.seconds


def out_of_patience(preset: Preset, progress: Progress) -> bool:
    """Whether the best validation is at least ``patience`` epochs old."""
    best = progress.best
    return best is not None and preset.patience is not None and progress.epoch - best.epoch >= preset.patience
