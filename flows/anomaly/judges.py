"""A judge of pictures: what one half of a fold of ordinary pictures says of pictures that it does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.areas import over_areas
from flows.anomaly.places import Usual
from flows.anomaly.typical import Typical

_ROUNDING = 2.0**10
"""Scores are rounded to its inverse, so that another machine's rounding changes nothing."""
_HIGHEST = 1e6
_LEADS = (2.0, 1.0, 0.0)
"""Spreads by which each test must be further out than that of areas to count as much, whose noise is the least.

The likelihood sees what is wrong with a whole picture: a fault in a small part hardly moves it. The strangest place
alone sees a speck.
"""
_LEADS_BEFORE_AREAS = (2.0, 0.0)


class Judge(NamedTuple):
    """What one half of a fold says of pictures that it does not hold."""

    fold: int
    """Which flow's densities it takes."""
    usual: Usual | Typical
    """A model that was published before there were several readings has ``Usual``."""
    centre: Tensor
    """(2, T) float64: the middle and the spread of the figures of its pictures that T tests compare.

    They are the mean log-density, the highest score, and the scores over areas, which models that were published before
    do not have.
    """

    @classmethod
    def of(
        cls, fold: int, pictures: Sequence[Tensor], widths: Sequence[float], *, colours: int, aligned: bool
    ) -> Judge:
        """From the readings (F, H, W) of the pixels of pictures that flow ``fold`` was not trained on.

        The last ``colours`` readings are the colours.
        """
        usual = Typical.of(pictures, widths, colours=colours, aligned=aligned)
        found = torch.stack([_figures(each[0], usual.scores(each)).cpu() for each in pictures])
        middle = found.median(dim=0).values
        spread = (found.quantile(0.84, dim=0) - found.quantile(0.16, dim=0)) / 2
        return cls(fold, usual, torch.stack([middle, spread.clamp_min(1e-3)]))

    @classmethod
    def from_tensors(cls, fold: int, tensors: Mapping[str, Tensor], prefix: str, device: torch.device) -> Judge:
        """From what ``tensors`` gave. Raises ValueError, and KeyError for a missing tensor."""
        centre = tensors[f"{prefix}centre"]
        if centre.ndim != 2 or len(centre) != 2 or not bool((centre[1] > 0).all()):
            raise ValueError(f"{prefix}centre does not hold a middle and a spread of each test")
        own = {name: tensor.to(device) for name, tensor in tensors.items() if name.startswith((prefix, "widths"))}
        kind = Typical if f"{prefix}rarest" in own and own[f"{prefix}mean"].ndim > 2 else Usual
        return cls(fold, kind.from_tensors(own, prefix), centre.double())

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What a store keeps; the widths of the windows are common to all judges."""
        return self.usual.tensors(prefix) | {f"{prefix}centre": self.centre.cpu()}

    def averages(self, found: Tensor) -> list[Tensor] | None:
        """What ``places`` needs of readings (F, H, W), which is the same for all judges of a model."""
        return self.usual.averages(found) if isinstance(self.usual, Typical) else None

    def places(self, found: Tensor, averages: Sequence[Tensor] | None = None) -> Tensor:
        """The score (H, W) of each place, from the readings (F, H, W) under this judge's flow and their averages."""
        return self.usual.scores(found, averages) if isinstance(self.usual, Typical) else self.usual.scores(found[0])

    def test_scores(self, densities: Tensor, places: Tensor) -> Tensor:
        """The nonconformity scores of T tests and of all together, (T + 1,), given the scores (H, W) of the places."""
        middle, spread = self.centre.to(places.device)
        each = (_figures(densities, places)[: len(middle)] - middle) / spread
        each = torch.cat([each[:1].abs(), each[1:]]).nan_to_num(nan=_HIGHEST, posinf=_HIGHEST, neginf=-_HIGHEST)
        each = each.clamp(-_HIGHEST, _HIGHEST)
        leads = each.new_tensor(_LEADS if len(each) == len(_LEADS) else _LEADS_BEFORE_AREAS)
        together = (each - leads).logsumexp(dim=0, keepdim=True)
        return (torch.cat([each, together]) * _ROUNDING).round() / _ROUNDING


def _figures(densities: Tensor, places: Tensor) -> Tensor:
    """(3,) float64: the mean of log-densities (H, W), the highest of scores (H, W) of places, and these over areas."""
    return torch.stack([densities.double().mean(), places.max().double(), over_areas(places)])
