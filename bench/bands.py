"""Within which band a share of alarms lies with a given probability, for a promise of alpha."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Band(NamedTuple):
    low: float
    high: float

    def __contains__(self, share: object) -> bool:
        return isinstance(share, float) and self.low <= share <= self.high

    def __str__(self) -> str:
        return f"{self.low:.4f} to {self.high:.4f}"


def binomial(count: int, alpha: float, confidence: float = 0.99) -> Band:
    """Of the share of alarms among ``count`` items when each alarms with probability alpha exactly."""
    alarms = torch.arange(count + 1, dtype=torch.float64)
    rates = torch.tensor([alpha, 1 - alpha], dtype=torch.float64).log()
    return _band(_log_choose(count, alarms) + alarms * rates[0] + (count - alarms) * rates[1], confidence)


def beta_binomial(count: int, alpha: float, calibration: int, confidence: float = 0.99) -> Band:
    """The same for conformal p-values that rest on ``calibration`` items.

    Once these are drawn an ordinary item alarms with a probability that is itself Beta(k, n + 1 - k) distributed,
    k = floor(alpha (n + 1)): the promise of alpha is over the draw of both (Vovk 2012, "Conditional validity of
    inductive conformal predictors", section 4).
    """
    k = int(alpha * (calibration + 1) + 1e-9)
    if k == 0:  # no p-value is so small
        return Band(0.0, 0.0)
    a, b = torch.tensor(float(k)).double(), torch.tensor(float(calibration + 1 - k)).double()
    alarms = torch.arange(count + 1, dtype=torch.float64)
    return _band(_log_choose(count, alarms) + _log_beta(alarms + a, count - alarms + b) - _log_beta(a, b), confidence)


def _band(log_probabilities: Tensor, confidence: float) -> Band:
    below = log_probabilities.exp().cumsum(dim=0)
    tail, count = (1 - confidence) / 2, len(below) - 1
    low, high = (int(torch.searchsorted(below, torch.tensor(level).double())) for level in (tail, 1 - tail))
    return Band(low / count, high / count)


def _log_choose(count: int, chosen: Tensor) -> Tensor:
    return -torch.log1p(torch.tensor(float(count)).double()) - _log_beta(chosen + 1, count - chosen + 1)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return a.lgamma() + b.lgamma() - (a + b).lgamma()
