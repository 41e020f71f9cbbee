"""How well scores tell anomalous items from ordinary ones, as AUROC and as the false-positive rate at 95 % TPR."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration, CrossCalibration
from trainer.report.anomaly_statistics import statistics
from trainer.report.corruptions import corruptions

_ITEMS = 2000
"""Fresh items that are used at most."""
_BATCH = 500


class Detection(NamedTuple):
    """How well scores separate two sets of items. A higher score means more anomalous."""

    auroc: float
    """The probability that an anomalous item scores higher than an ordinary one, with ties counted half."""
    fpr_at_95_tpr: float
    """The share of ordinary items above the threshold that 95 % of the anomalous items reach."""


def detection(ordinary: Tensor, anomalous: Tensor) -> Detection:
    """Both figures, from the scores of ordinary items (N,) and of anomalous items (M,)."""
    order, anomalous = ordinary.double().sort().values, anomalous.double().contiguous()
    below = torch.searchsorted(order, anomalous) + torch.searchsorted(order, anomalous, right=True)
    threshold = anomalous.sort().values[int(0.05 * len(anomalous))]
    return Detection(float(below.double().mean()) / (2 * len(order)), float((order >= threshold).double().mean()))


def against_corruptions(
    flow: Flow, calibration: Calibration | CrossCalibration, fresh: Tensor
) -> dict[str, dict[str, float]]:
    """How well the verdict tells fresh items (N, *item_shape) from corrupted copies of them, by corruption.

    The items are as a user sends them, and must not be among those that the calibration is made from.
    """
    fresh = fresh[:_ITEMS]
    ordinary = -p_values(flow, calibration, fresh)
    return {
        name: detection(ordinary, -p_values(flow, calibration, anomalous))._asdict()
        for name, anomalous in corruptions(fresh).items()
    }


@torch.no_grad()
def p_values(flow: Flow, calibration: Calibration | CrossCalibration, items: Tensor) -> Tensor:
    """The verdicts' p-values (N,) of items (N, *item_shape), as a user sends them."""
    if isinstance(calibration, Calibration):  # it lies on the CPU, where the flow may not
        found = torch.split(statistics(flow, items), _BATCH)
        return torch.cat([calibration.judge(part).p_value for part in found])
    parts = torch.split(items, _BATCH)
    return torch.cat([calibration.assess(flow, flow.to_continuous(part)).verdict.p_value.cpu() for part in parts])
