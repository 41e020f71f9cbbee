"""One member of a cross-conformal calibration: a flow and neighbours that know nothing of the rows they judge."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from flows.anomaly.neighbours import Neighbours
from flows.anomaly.statistics import Test
from flows.flow import Flow

ROW_STATISTICS: Mapping[str, str] = {
    "log_likelihood": "log p(x), nats",
    "latent_energy": "log of the mean square of the latents, in units of the prior's variance",
    "neighbour_distance": "mean distance to the 5 nearest training rows, each column in its standard deviation",
    "whitened_distance": "the same after the columns are whitened, which sees broken relations between columns",
}
"""The name and meaning of every statistic of a row. The first two are of the published flow."""
_LIKELIHOOD = Test("likelihood", ("log_likelihood",))
_LATENT = Test("latent", ("latent_energy",))
_NEIGHBOURS = (Test("neighbours", ("neighbour_distance",)), Test("relations", ("whitened_distance",)))
_BATCH = 512


def row_tests(neighbours: bool) -> tuple[Test, ...]:
    """The tests that make up the verdict on a row, with or without those that need neighbours."""
    return (_LIKELIHOOD, _LATENT, *(_NEIGHBOURS if neighbours else ()))


class Member:
    """Nonconformity scores of rows under a flow, and under the neighbours among the rows that this member may see.

    ``fitted`` (N, T) are the raw scores of such rows: minus the log-likelihood, the energy of the latents, both
    distances. Each neighbour's distance leaves out the row itself. ``fitted`` gives every score a scale, so that the
    scores of all members can be added up.

    A score becomes comparable with the others as minus the log of its rank's share among the fitted scores. Beyond the
    largest fitted score the logarithm of the distance is added, in units of the spread of the fitted scores.
    """

    def __init__(self, flow: Flow, neighbours: Neighbours | None, fitted: Tensor) -> None:
        self.flow, self.neighbours = flow, neighbours
        self.fitted = fitted.double()
        self._sorted = self.fitted.T.sort(dim=1).values.contiguous()
        middle, high = (self._sorted.quantile(q, dim=1)[:, None] for q in (0.5, 0.9))
        self._spread = (high - middle).clamp_min(1e-6)

    @classmethod
    @torch.no_grad()
    def of(cls, flow: Flow, rows: Tensor, neighbours: bool) -> Member:
        """A member that may see rows (N, D), continuous."""
        near = Neighbours(rows) if neighbours else None
        parts = [raw_scores(flow, None, part) for part in torch.split(rows, _BATCH)]
        fitted = torch.cat(parts, dim=1)
        if near is not None:
            fitted = torch.cat([fitted, near.own_distances()])
        return cls(flow, near, finite(fitted).T.float())

    def raw(self, x: Tensor) -> Tensor:
        """Raw scores (T, B), float64, of continuous points (B, D)."""
        return raw_scores(self.flow, self.neighbours, x)

    def test_scores(self, raw: Tensor) -> Tensor:
        """Raw scores (T, B) as comparable ones (T, B), rounded so that another machine's rounding changes nothing."""
        largest, count = self._sorted[:, -1:], self._sorted.shape[1]
        less = torch.searchsorted(self._sorted, raw.contiguous())
        share = (1 + count - less).double() / (count + 1)
        beyond = ((raw - largest).clamp_min(0) / self._spread).log1p()
        return ((beyond - share.log()) * 2**12).round() / 2**12


def raw_scores(flow: Flow, neighbours: Neighbours | None, x: Tensor) -> Tensor:
    """Raw scores (T, B), float64, of continuous points (B, D). A higher score is less ordinary."""
    z, log_abs_det = flow.encode(x)
    likelihood = flow.prior.log_prob(z) + log_abs_det
    energy = (z.flatten(1) / flow.prior.std).square().mean(dim=1).log()
    found = torch.stack([-likelihood.double(), energy.double()])
    if neighbours is not None:
        found = torch.cat([found, neighbours.distances(x)])
    return finite(found)


def finite(raw: Tensor) -> Tensor:
    """Raw scores with the highest one in place of NaN and infinity: such a row is beyond what the flow represents."""
    return raw.nan_to_num(nan=_HIGHEST, posinf=_HIGHEST, neginf=-_HIGHEST).clamp(-_HIGHEST, _HIGHEST)


_HIGHEST = 1e30
