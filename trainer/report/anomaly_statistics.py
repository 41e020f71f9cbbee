"""The statistics that a verdict judges, of many items."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow, anomaly

_BATCH = 500


@torch.no_grad()
def statistics(flow: Flow, items: Tensor) -> Tensor:
    """The K statistics (N, K) float64 that the service measures of items (N, *item_shape) at seed 0."""
    batches = torch.split(items, _BATCH)
    return torch.cat([anomaly.statistics(flow, flow.to_continuous(batch)).cpu() for batch in batches])
