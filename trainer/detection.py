"""Calibration at publish, and how well the verdict that it gives tells foreign items from ordinary ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flows import Flow, anomaly

_BATCH = 500
_FIT_SHARE = 1 / 3


class Detection(NamedTuple):
    """How two sets of scores overlap; a higher score means stranger."""

    auroc: float
    """The chance that a foreign item scores higher than an ordinary one, ties counted half."""
    fpr_at_95_tpr: float
    """The share of ordinary items alarmed when the threshold finds 95 % of the foreign ones."""


def detection(ordinary: Tensor, foreign: Tensor) -> Detection:
    """Scores of ordinary items (N,) and of foreign ones (M,) to the two figures that the field reports."""
    order, foreign = ordinary.double().sort().values, foreign.double().contiguous()
    below = torch.searchsorted(order, foreign) + torch.searchsorted(order, foreign, right=True)
    threshold = foreign.sort().values[int(0.05 * len(foreign))]
    return Detection(float(below.double().mean()) / (2 * len(order)), float((order >= threshold).double().mean()))


@torch.no_grad()
def statistics(flow: Flow, items: Tensor) -> Tensor:
    """What the service measures of items (N, *item_shape), as a user sends them, at seed 0: (N, K) float64."""
    batches = torch.split(items, _BATCH)
    return torch.cat([anomaly.statistics(flow, flow.to_continuous(batch)) for batch in batches])


def calibrate(flow: Flow, held_out: Tensor) -> anomaly.Calibration | None:
    """A calibration from held-out items: a third fits the densities, the rest gives the p-values.

    None when there are too few items to promise anything.
    """
    fit = int(len(held_out) * _FIT_SHARE)
    if fit < anomaly.LEAST:
        return None
    found = statistics(flow, held_out)
    return anomaly.Calibration(anomaly.tests_of(flow), found[:fit], found[fit:])
