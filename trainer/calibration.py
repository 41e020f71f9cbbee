"""The calibration that travels with a published model: statistics of items that no gradient has seen."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow, anomaly
from trainer.data import DataSet

_BATCH = 500
_FIT_SHARE = 1 / 3
_FIT_EACH = 128
"""Of each statistic so many items fit it, and no more: more of them would cost every verdict time and gain nothing."""


@torch.no_grad()
def statistics(flow: Flow, items: Tensor) -> Tensor:
    """What the service measures of items (N, *item_shape), as a user sends them, at seed 0: (N, K) float64."""
    batches = torch.split(items, _BATCH)
    return torch.cat([anomaly.statistics(flow, flow.to_continuous(batch)) for batch in batches])


def calibrate(flow: Flow, held_out: Tensor) -> anomaly.Calibration | None:
    """Held-out items (N, *item_shape), as a user sends them: some fit the densities, the rest gives the p-values.

    A third fits them, or fewer where statistics are few. None when there are too few of them to promise anything, as in
    a quick try with a limit.
    """
    fit = min(int(len(held_out) * _FIT_SHARE), _FIT_EACH * len(anomaly.names_of(flow)))
    if fit < anomaly.MINIMUM_ITEMS:
        return None
    found = statistics(flow, held_out)
    return anomaly.Calibration.of(anomaly.tests_of(flow), found[:fit], found[fit:])


def source_of(held_out: Tensor, data: DataSet) -> str:
    """What a manifest says of where a calibration comes from."""
    return f"{len(held_out):,} items of {data.title} that no weight was trained on"
