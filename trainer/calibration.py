"""The calibration that travels with a published model: statistics of items that no gradient has seen."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow, anomaly
from trainer.data import DataSet

_BATCH = 500
_FIT_SHARE = 1 / 3


@torch.no_grad()
def statistics(flow: Flow, items: Tensor) -> Tensor:
    """What the service measures of items (N, *item_shape), as a user sends them, at seed 0: (N, K) float64."""
    batches = torch.split(items, _BATCH)
    return torch.cat([anomaly.statistics(flow, flow.to_continuous(batch)) for batch in batches])


def calibrate(flow: Flow, held_out: Tensor) -> anomaly.Calibration | None:
    """Held-out items (N, *item_shape), as a user sends them: a third fits the densities, the rest gives the p-values.

    None when there are too few of them to promise anything, as in a quick try with a limit.
    """
    fit = int(len(held_out) * _FIT_SHARE)
    if fit < anomaly.LEAST:
        return None
    found = statistics(flow, held_out)
    return anomaly.Calibration.of(anomaly.tests_of(flow), found[:fit], found[fit:])


def source_of(held_out: Tensor, data: DataSet) -> str:
    """What a manifest says of where a calibration comes from."""
    return f"{len(held_out):,} items of {data.title} that no weight was trained on"
