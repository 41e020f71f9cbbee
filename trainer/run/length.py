"""How long a run lasts: a number of epochs, or a budget of wall-clock time."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from flows import Flow
from flows.inpainting import SharpModes
from trainer.data import Splits
from trainer.presets import Preset
from trainer.run.likelihoods import log_likelihoods
from trainer.run.state import Progress

_TIMED = 200
"""Items whose evaluation is timed to estimate what follows the training."""
_PICTURES = 6.0
"""Seconds for pictures, files and the start of Python."""
_LARGEST_SHARE = 0.4
"""The part of a budget that may be kept for what follows the training."""
_INITIAL_SHARE = 0.25
"""The part of the remaining budget that the validation before the first step may take."""


@dataclass(frozen=True)
class Length:
    """How long a run lasts. ``seconds`` of training, where given, take the place of epochs."""

    epochs: int
    steps: int
    """Steps of an epoch."""
    seconds: float | None = None
    validation_seconds: float = 0.0
    """An estimate of the time of one validation; 0 without a budget."""

    def affords_initial_validation(self, progress: Progress) -> bool:
        """Whether a validation before the first step leaves most of the budget to the steps."""
        return self.seconds is None or self.validation_seconds <= _INITIAL_SHARE * (self.seconds - progress.spent)

    def done(self, progress: Progress) -> float:
        """The share of the run that is done, from 0."""
        if self.seconds is not None:
            return progress.spent / self.seconds
        return (progress.epoch * self.steps + progress.step) / (self.epochs * self.steps)

    def over(self, progress: Progress) -> bool:
        """Whether no further step follows. However small the budget, a first step does: a run ends in a model."""
        if progress.finished:
            return True
        if self.seconds is None:
            return progress.epoch >= self.epochs
        return progress.spent >= self.seconds and (progress.epoch, progress.step) != (0, 0)


def length_of(preset: Preset, splits: Splits, flow: Flow, validations_afterwards: int = 0) -> Length:
    """How long a run of a preset lasts, on this device.

    Of a budget in minutes, the time is taken off that evaluation, calibration and publishing will need. It is estimated
    from the time in which the flow evaluates a few items. Where flows of folds follow, they take their part.
    """
    steps = preset.steps_of(len(splits.train))
    if preset.minutes is None:
        return Length(preset.epochs, steps)
    budget = 60 * preset.minutes
    seconds_of_an_item = _seconds_of_an_item(flow, splits)
    items = _items_afterwards(flow, splits) + validations_afterwards * len(splits.validation)
    afterwards = _PICTURES + seconds_of_an_item * items
    left = budget - min(afterwards, _LARGEST_SHARE * budget)
    validation_seconds = seconds_of_an_item * len(splits.validation)
    return Length(preset.epochs, steps, left / (1 + (preset.further or 0.0)), validation_seconds)


def _seconds_of_an_item(flow: Flow, splits: Splits) -> float:
    items = splits.validation[:_TIMED]
    seconds = []
    for _ in range(2):  # in the first pass kernels are loaded
        began = perf_counter()
        log_likelihoods(flow, items)
        seconds.append(perf_counter() - began)
    return min(seconds) / len(items)


def _items_afterwards(flow: Flow, splits: Splits) -> int:
    """How many likelihoods cost as much as the work after the training.

    The test set is scored, held-out items are calibrated on, some thousand items are corrupted in several ways, and a
    flow with sharp modes draws thousands of items.
    """
    drawn = 40_000 if isinstance(flow, SharpModes) else 0
    return len(splits.test) + 3 * len(splits.calibration) + min(2000, len(splits.test)) * 15 + drawn
