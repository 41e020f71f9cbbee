"""What a flow says of its own samples: whether they are as likely as test items, and how many would alarm.

Samples of a flow that is broader than its data are less likely than test items, although both come from it in name. The
figures are of samples at temperature 1, rounded to grey levels as a user gets them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration, CrossCalibration
from trainer.report.detection import p_values
from trainer.report.evaluation import Quality
from trainer.run.likelihoods import log_likelihoods

ALPHA = 0.05
_AT_ONCE = 50


@dataclass(frozen=True)
class OwnSamples:
    """Figures of samples at temperature 1."""

    quality: Quality
    alarms: float | None
    """The share of them whose p-value is at most ALPHA; None where there are no p-values."""

    @classmethod
    def of(cls, flow: Flow, calibration: Calibration | CrossCalibration | None, seed: int, count: int) -> OwnSamples:
        """The figures of ``count`` samples of an image flow."""
        items = _drawn(flow, seed, count)
        alarms = None if calibration is None else float((p_values(flow, calibration, items) <= ALPHA).double().mean())
        return cls(Quality.of(flow, log_likelihoods(flow, items)), alarms)

    def told(self) -> str:
        """How many alarm, in words; nothing without p-values."""
        return (
            ""
            if self.alarms is None
            else f"Of {self.quality.count:,} samples at temperature 1, {self.alarms:.1%} would alarm at {ALPHA:g}."
        )


@torch.no_grad()
def _drawn(flow: Flow, seed: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    parts = [min(_AT_ONCE, count - first) for first in range(0, count, _AT_ONCE)]
    return torch.cat([flow.to_items(flow.sample(part, generator)).cpu() for part in parts])
