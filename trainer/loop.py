"""The training loop: one page, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter

from torch.nn.utils import clip_grad_norm_

from trainer.data import Splits
from trainer.device import Precision, autocast, tf32
from trainer.display import Display
from trainer.errors import DataError, Diverged
from trainer.evaluation import log_likelihoods
from trainer.parallel import Ranks
from trainer.preset import Preset
from trainer.randomness import batch_order, dequantise, noise_keys
from trainer.state import EpochRecord, Progress, TrainingState

MOST_SKIPPED_IN_A_ROW = 20
"""Steps without a finite gradient that a run survives; an epoch of fewer steps must have one."""


def train(
    state: TrainingState,
    splits: Splits,
    preset: Preset,
    *,
    seed: int,
    precision: Precision,
    ranks: Ranks,
    save: Callable[[], None],
    display: Display,
    stop_requested: Callable[[], bool] = lambda: False,
) -> bool:
    """Maximise the mean log-likelihood of the training set, from where the state stands to the end of the last epoch.

    Each epoch ends with the mean log-likelihood of the validation split, by which the best weights are kept, and with
    a save; what is validated and kept is the average of the weights where the preset asks for one. A step whose
    gradient is not finite is left out and counted. ``stop_requested`` is asked after every step; when it says yes the
    state is saved, and resuming it gives the weights that an undisturbed run gives.

    Several ranks each take their share of every batch, and come to the weights that one rank would come to.

    True when the last epoch is done or the preset's patience is at its end, False when stopped before. Raises Diverged
    when too many steps in a row are not finite, or when validation is not.
    """
    flow, optimiser, progress = state.flow, state.optimiser, state.progress
    model, validation = ranks.wrap(flow), ranks.share(splits.validation).to(flow.device)
    items = splits.train.to(flow.device)
    steps = len(items) // preset.batch_size
    if steps == 0:
        count = f"{len(items)} training items"
        raise DataError(f"{preset.data.name}: {count} do not fill a batch of {preset.batch_size}; see --batch-size")

    with tf32():
        while progress.epoch < preset.epochs and not out_of_patience(preset, progress):
            order = batch_order(seed, progress.epoch, len(items))
            display.epoch_begins(progress, steps)
            while progress.step < steps:
                began = perf_counter()
                step = progress.epoch * steps + progress.step
                rate = learning_rate(preset, step, preset.epochs * steps)
                for group in optimiser.param_groups:
                    group["lr"] = group["boost"] * rate

                rows = order[progress.step * preset.batch_size :][: preset.batch_size].to(flow.device)
                keys = noise_keys(seed, progress.epoch, progress.step, len(rows), flow.device)
                x = dequantise(flow, items[ranks.share(rows)], ranks.share(keys))
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
                display.step_done(progress)
                if progress.skipped_in_a_row == min(steps, MOST_SKIPPED_IN_A_ROW):
                    raise Diverged(
                        f"{progress.skipped_in_a_row} steps in a row had no finite gradient, "
                        f"up to step {progress.step} of epoch {progress.epoch + 1}; "
                        "a lower learning rate may help, --fresh starts anew"
                    )
                if ranks.any(stop_requested()):
                    save()
                    return False

            validated = ranks.sum(log_likelihoods(state.evaluated, validation).sum()).item() / len(splits.validation)
            record = EpochRecord(
                epoch=progress.epoch + 1,
                train=progress.log_likelihood_sum / (steps - progress.skipped),
                validation=validated,
                seconds=progress.seconds,
                skipped=progress.skipped,
            )
            if not math.isfinite(record.validation):
                raise Diverged(f"validation gave {record.validation} nats after epoch {record.epoch}")
            if progress.best is None or record.validation > progress.best.validation:
                state.keep_best()
            state.progress = progress = Progress(
                epoch=record.epoch, skipped_in_a_row=progress.skipped_in_a_row, history=[*progress.history, record]
            )
            save()
            display.epoch_done(record)
    if preset.patience is not None and out_of_patience(preset, progress):
        display.stopped_early(progress, preset.patience)
    return True


def learning_rate(preset: Preset, step: int, total: int) -> float:
    """The rate of the step-th of so many steps: a linear warm-up, then the peak or a cosine down to its final share."""
    warmup = min(1.0, (step + 1) / preset.warmup_steps)
    if preset.schedule == "constant":
        return preset.learning_rate * warmup
    cosine = (1 + math.cos(math.pi * step / total)) / 2
    return preset.learning_rate * warmup * (preset.final_share + (1 - preset.final_share) * cosine)


def ema_decay(preset: Preset, step: int) -> float:
    """How much of the average of the weights stays in the step-th step.

    Less in the first steps, so that the average does not remember weights that nothing had trained.
    """
    return min(preset.ema_decay, (1 + step) / (10 + step))


def out_of_patience(preset: Preset, progress: Progress) -> bool:
    """Whether validation has not bettered its best for as many epochs as the preset bears."""
    best = progress.best
    return best is not None and preset.patience is not None and progress.epoch - best.epoch >= preset.patience
