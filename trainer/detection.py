"""How well scores tell foreign items from ordinary ones: the two figures that the field reports."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration
from trainer.calibration import statistics
from trainer.foreign import corruptions

_ITEMS = 2000


class Detection(NamedTuple):
    """How two sets of scores overlap; a higher score means stranger."""

    auroc: float
    """The chance that a foreign item scores higher than an ordinary one, ties counted half."""
    fpr_at_95_tpr: float
    """The share of ordinary items alarmed when the threshold finds 95 % of the foreign ones."""


def detection(ordinary: Tensor, foreign: Tensor) -> Detection:
    """From the scores of ordinary items (N,) and of foreign ones (M,)."""
    order, foreign = ordinary.double().sort().values, foreign.double().contiguous()
    below = torch.searchsorted(order, foreign) + torch.searchsorted(order, foreign, right=True)
    threshold = foreign.sort().values[int(0.05 * len(foreign))]
    return Detection(float(below.double().mean()) / (2 * len(order)), float((order >= threshold).double().mean()))


def against_corruptions(flow: Flow, calibration: Calibration | None, fresh: Tensor) -> dict[str, dict[str, float]]:
    """How well the combined verdict tells fresh items (N, *item_shape) from corrupted copies of them, by corruption.

    The items are as a user sends them, and none of the calibration's. Without a calibration there is no verdict.
    """
    if calibration is None:
        return {}
    fresh = fresh[:_ITEMS]
    ordinary = -calibration.judge(statistics(flow, fresh)).p_value
    return {
        name: detection(ordinary, -calibration.judge(statistics(flow, foreign)).p_value)._asdict()
        for name, foreign in corruptions(fresh).items()
    }
