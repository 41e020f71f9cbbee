"""The calibration that travels with a published model: statistics of items that no gradient has seen."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration, statistics, tests_of
from flows.anomaly.calibration import LEAST


def calibrate(flow: Flow, held_out: Tensor, batch_size: int = 1000) -> Calibration | None:
    """Held-out items (N, *item_shape), as a user sends them, half to fit the densities and half for the p-values.

    None when there are too few of them to promise anything, as in a quick try with a limit.
    """
    if len(held_out) < 2 * LEAST:
        return None
    batches = (held_out[first : first + batch_size] for first in range(0, len(held_out), batch_size))
    with torch.no_grad():
        table = torch.cat([statistics(flow, flow.to_continuous(batch)) for batch in batches])
    half = len(table) // 2
    return Calibration(tests_of(flow), table[:half], table[half:])
