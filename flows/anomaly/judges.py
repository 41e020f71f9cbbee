"""A judge of pictures: what one half of a fold of ordinary pictures says of pictures that it does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.places import Usual
from flows.anomaly.typical import Typical

_ROUNDING = 2.0**10
"""Scores are rounded to its inverse, so that another machine's rounding changes nothing."""
_HIGHEST = 1e6
_LEAD = 2.0
"""Spreads by which the likelihood must be further out than the strangest place to count as much.

It sees what is wrong with a whole picture. A fault in a small part hardly moves it, and its noise would hide the fault.
"""


class Judge(NamedTuple):
    """What one half of a fold says of pictures that it does not hold."""

    fold: int
    """Which flow's densities it takes."""
    usual: Usual | Typical
    """A model that was published before there were several readings has ``Usual``."""
    centre: Tensor
    """(2, 2) float64: the middle and the spread of the mean log-density and of the highest score of its pictures."""

    @classmethod
    def of(cls, fold: int, pictures: Sequence[Tensor], widths: Sequence[float], *, aligned: bool) -> Judge:
        """From the readings (F, H, W) of the pixels of pictures that flow ``fold`` was not trained on."""
        usual = Typical.of(pictures, widths, aligned=aligned)
        found = torch.tensor([[float(each[0].double().mean()), float(usual.scores(each).max())] for each in pictures])
        found = found.double()
        middle = found.median(dim=0).values
        spread = (found.quantile(0.84, dim=0) - found.quantile(0.16, dim=0)) / 2
        return cls(fold, usual, torch.stack([middle, spread.clamp_min(1e-3)]))

    def places(self, found: Tensor) -> Tensor:
        """The score (H, W) of each place, from the readings (F, H, W) under this judge's flow."""
        return self.usual.scores(found if isinstance(self.usual, Typical) else found[0])

    def test_scores(self, densities: Tensor, places: Tensor) -> Tensor:
        """The nonconformity score of each test, and of both together: (3,), given the scores (H, W) of the places."""
        found = torch.stack([densities.double().mean(), places.max().double()])
        middle, spread = self.centre.to(found.device)
        each = (found - middle) / spread
        each = torch.stack([each[0].abs(), each[1]]).nan_to_num(nan=_HIGHEST, posinf=_HIGHEST, neginf=-_HIGHEST)
        each = each.clamp(-_HIGHEST, _HIGHEST)
        both = torch.logaddexp(each[:1] - _LEAD, each[1:])
        return (torch.cat([each, both]) * _ROUNDING).round() / _ROUNDING
