"""One member of a cross-conformal calibration: densities and neighbours that know nothing of the rows they judge."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from flows.anomaly.mixture import Mixture
from flows.anomaly.neighbours import Neighbours, likeliest_shrinkage
from flows.anomaly.statistics import Test
from flows.flow import Flow

ROW_STATISTICS: Mapping[str, str] = {
    "log_likelihood": "log p(x), nats",
    "latent_energy": "log of the mean square of the latents, in units of the prior's variance",
    "mixture_density": "log-density under a mixture of normal distributions, nats",
    "neighbour_distance": "mean distance to the 5 nearest training rows, each column in its standard deviation",
    "whitened_distance": "the same after the columns are whitened, which sees broken relations between columns",
}
"""The name and meaning of every statistic of a row. The first two are of the published flow."""
_LIKELIHOOD = Test("likelihood", ("log_likelihood",))
_LATENT = Test("latent", ("latent_energy",))
_MIXTURE = Test("mixture", ("mixture_density",))
_NEIGHBOURS = (Test("neighbours", ("neighbour_distance",)), Test("relations", ("whitened_distance",)))
_BATCH = 512


def row_tests(neighbours: bool, mixture: bool = True) -> tuple[Test, ...]:
    """The tests that make up the verdict on a row, with or without those that need neighbours.

    Calibrations of an earlier version have no mixture, and a test of the latents in its place.
    """
    return (_LIKELIHOOD, _MIXTURE if mixture else _LATENT, *(_NEIGHBOURS if neighbours else ()))


class Member:
    """Nonconformity scores of rows under a flow, a mixture and the neighbours among rows that this member may see.

    ``fitted`` (N, T) are the raw scores of such rows: minus both log-densities, and both distances. Each neighbour's
    distance leaves out the row itself. ``fitted`` gives every score a scale, so that the scores of all members can be
    added up.

    A score becomes comparable with the others as minus the log of its rank's share among the fitted scores. Beyond the
    largest fitted score the logarithm of the distance is added, in units of the spread of the fitted scores.
    """

    def __init__(self, flow: Flow, mixture: Mixture | None, neighbours: Neighbours | None, fitted: Tensor) -> None:
        self.flow, self.mixture, self.neighbours = flow, mixture, neighbours
        self.fitted = fitted.double()
        self._sorted = self.fitted.T.sort(dim=1).values.contiguous()
        middle, high = (self._sorted.quantile(q, dim=1)[:, None] for q in (0.5, 0.9))
        self._spread = (high - middle).clamp_min(1e-6)

    @classmethod
    @torch.no_grad()
    def of(cls, flow: Flow, rows: Tensor, neighbours: bool) -> Member:
        """A member that may see rows (N, D), continuous."""
        near = Neighbours(rows, likeliest_shrinkage(rows)) if neighbours else None
        mixture = Mixture.of(rows)
        parts = [raw_scores(flow, mixture, None, part) for part in torch.split(rows, _BATCH)]
        fitted = torch.cat(parts, dim=1)
        if near is not None:
            fitted = torch.cat([fitted, near.own_distances()])
        return cls(flow, mixture, near, finite(fitted).T.float())

    def raw(self, x: Tensor) -> Tensor:
        """Raw scores (T, B), float64, of continuous points (B, D)."""
        return raw_scores(self.flow, self.mixture, self.neighbours, x)

    def log_density(self, x: Tensor) -> Tensor:
        """The mean of the log-densities (B,) of the flow and of the mixture, float64, in nats."""
        found = self.flow.log_prob(x).double()
        return found if self.mixture is None else (found + self.mixture.log_density(x)) / 2

    def test_scores(self, raw: Tensor) -> Tensor:
        """Raw scores (T, B) as comparable ones (T, B), rounded so that another machine's rounding changes nothing."""
        largest, count = self._sorted[:, -1:], self._sorted.shape[1]
        less = torch.searchsorted(self._sorted, raw.contiguous())
        share = (1 + count - less).double() / (count + 1)
        beyond = ((raw - largest).clamp_min(0) / self._spread).log1p()
        return ((beyond - share.log()) * 2**12).round() / 2**12


def raw_scores(flow: Flow, mixture: Mixture | None, neighbours: Neighbours | None, x: Tensor) -> Tensor:
    """Raw scores (T, B), float64, of continuous points (B, D). A higher score is less ordinary."""
    z, log_abs_det = flow.encode(x)
    likelihood = flow.prior.log_prob(z) + log_abs_det
    if mixture is None:
        second = (z.flatten(1) / flow.prior.std).square().mean(dim=1).log().double()
    else:
        second = -mixture.log_density(x)
    found = torch.stack([-likelihood.double(), second])
    if neighbours is not None:
        found = torch.cat([found, neighbours.distances(x)])
    return finite(found)


def finite(raw: Tensor) -> Tensor:
    """Raw scores with the highest one in place of NaN and infinity: such a row is beyond what the flow represents."""
    return raw.nan_to_num(nan=_HIGHEST, posinf=_HIGHEST, neginf=-_HIGHEST).clamp(-_HIGHEST, _HIGHEST)


_HIGHEST = 1e30
