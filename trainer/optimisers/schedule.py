"""How the learning rate and the average of the weights change over the steps of a run."""

from __future__ import annotations

import math

from trainer.presets import Preset

FINAL_SHARE = 0.02
"""The learning rate at the end of a run, as a share of its peak."""


def learning_rate(preset: Preset, step: int, share: float) -> float:
    """The learning rate of step ``step``, from 0, when ``share`` of the run is done: warm-up times decay.

    The decay is a cosine over the whole run, or with ``decay_share`` a line over the last share of it.
    """
    warmup = min(1.0, (step + 1) / preset.warmup_steps)
    if preset.decay_share is None:
        decay = (1 + math.cos(math.pi * min(1.0, share))) / 2
    else:
        decay = min(1.0, max(0.0, 1 - share) / preset.decay_share)
    return preset.learning_rate * warmup * (FINAL_SHARE + (1 - FINAL_SHARE) * decay)


def ema_decay(preset: Preset, step: int) -> float:
    """The decay of the weights' moving average in step ``step``, from 0.

    It is lower in the first steps, so that the average forgets the untrained weights.
    """
    return min(preset.ema_decay, (1 + step) / (10 + step))
