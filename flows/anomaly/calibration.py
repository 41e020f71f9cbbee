"""From statistics to verdicts: conformal p-values whose false-alarm promise survives being combined.

Held-out items are split in two. The first part fits the densities; the second, which no fit has seen, says how strange
ordinary items look. p = (1 + #{held-out at least as strange}) / (n + 1) is then valid for any strangeness, however bad
the flow or the densities are (Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", section 2.2).
The tests are combined before that last step, not after it, so the combination needs no correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.statistics import Test
from flows.anomaly.strangeness import Strangeness, check_table, p_values, p_values_of


class Verdict(NamedTuple):
    """p-values of B items, float64. Small means strange."""

    p_value: Tensor
    """The combined verdict (B,)."""
    tests: dict[str, Tensor]
    """Each test on its own (B,)."""
    scores: Tensor
    """(B, G), what ``Calibration.judge_group`` wants: where an item stands among the held-out ones, in normal scores of
    every statistic that means something on its own and of how strange each test finds it."""


class GroupVerdict(NamedTuple):
    """Is a batch, taken together, one that the calibration set could have been?"""

    p_value: float
    statistic: float
    """Chi-square distributed with ``degrees`` degrees of freedom when the batch is ordinary."""
    degrees: int


class Calibration:
    """How strange held-out items look: their ``places`` (n, G) under a strangeness that was fitted without them.

    ``tensors`` gives all that ``from_tensors`` needs to make it again.
    """

    def __init__(self, strangeness: Strangeness, places: Tensor) -> None:
        self.strangeness, self.places = strangeness, places.half()
        check_table(self.places, len(strangeness.telling) + len(strangeness.tests))
        columns = self.places.T.double().contiguous()
        # Searched for every item: in single precision, which holds halves exactly, more of them stay in a cache.
        self._columns = columns.float().sort(dim=1).values
        self._combined = strangeness.combined(columns).sort().values
        halves = torch.arange(1, 2 * self.size + 2, device=places.device).double() / (2 * (self.size + 1))
        self._normal_score_of = torch.special.ndtri(halves)
        self._precision = _precision(self._normal_scores(*self._ranks(columns)))

    @classmethod
    def of(cls, tests: Sequence[Test], fit: Tensor, held_out: Tensor) -> Calibration:
        """From statistics (N, K) that fit the densities, and others (n, K) that the p-values rest on. ValueError."""
        check_table(held_out, sum(len(test.statistics) for test in tests))
        strangeness = Strangeness(tests, fit)
        return cls(strangeness, strangeness.places(held_out).T)

    @classmethod
    def from_tensors(cls, tests: Sequence[Test], tensors: Mapping[str, Tensor]) -> Calibration:
        """From what ``tensors`` gave. Raises ValueError, and KeyError where something is missing."""
        return cls(Strangeness(tests, tensors["fit"], tensors["scale"]), tensors["held_out"])

    def tensors(self) -> dict[str, Tensor]:
        return {
            "fit": self.strangeness.fit.half(),
            "held_out": self.places,
            "scale": self.strangeness.scale.float(),
        }

    @property
    def size(self) -> int:
        """n of the p-values: none is ever below 1 / (n + 1)."""
        return len(self.places)

    def held_out(self, statistic: str) -> Tensor:
        """What the held-out items have of a statistic (n,) that means something on its own, in its own units."""
        return self.strangeness.in_units(self.places.T.double(), statistic)

    def judge(self, statistics: Tensor) -> Verdict:
        """Statistics (B, K) of items -> p-values. A row that is not finite is stranger than anything: 1 / (n + 1)."""
        places = self.strangeness.places(statistics)
        less, at_most = self._ranks(places)
        each = p_values_of(self.strangeness.of_tests(less), self.size)
        return Verdict(
            p_values(self._combined, self.strangeness.combined(places)),
            {test.name: column for test, column in zip(self.strangeness.tests, each, strict=True)},
            self._normal_scores(less, at_most),
        )

    def judge_group(self, scores: Tensor) -> GroupVerdict:
        """Scores (M, G) of a whole batch -> whether their mean sits where means of M ordinary items do.

        In normal scores a mean is near normal even for a small batch, and no single item decides; Hotelling's quadratic
        form over the means is then chi-square. Of many statistics that hardly vary one by one that would not hold:
        they have a say by how strange they are together.
        """
        mean = scores.mean(dim=0)
        statistic = float(mean @ self._precision @ mean) / (1 / len(scores) + 1 / self.size)
        degrees = len(mean)
        tail = torch.special.gammaincc(torch.tensor(degrees / 2.0), torch.tensor(statistic / 2).double())
        return GroupVerdict(float(tail), statistic, degrees)

    def _ranks(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """How many held-out items have less than these places (G, B), and how many at most as much: (G, B) each."""
        values = places.nan_to_num(nan=torch.inf).float()
        return torch.searchsorted(self._columns, values), torch.searchsorted(self._columns, values, right=True)

    def _normal_scores(self, less: Tensor, at_most: Tensor) -> Tensor:
        """Ranks (G, B) among the held-out items, from below and from above -> (B, G): the normal quantiles of both."""
        halves = (less + at_most).T
        scores: Tensor = self._normal_score_of.index_select(0, halves.flatten()).view(halves.shape)
        return scores


def benjamini_hochberg(p_values: Tensor, rate: float) -> Tensor:
    """Which of M items to flag (M,) bool, so that in expectation at most a share ``rate`` of the flags is false.

    Benjamini & Hochberg 1995; valid for conformal p-values of one calibration set too (Bates et al. 2023, "Testing for
    outliers with conformal p-values", theorem 2).
    """
    order = p_values.argsort()
    allowed = rate * torch.arange(1, len(p_values) + 1, dtype=p_values.dtype) / len(p_values)
    passing = (p_values[order] <= allowed).nonzero()
    flags = torch.zeros(len(p_values), dtype=torch.bool)
    if len(passing):
        flags[order[: int(passing[-1]) + 1]] = True
    return flags


def _precision(scores: Tensor) -> Tensor:
    """The inverse of the correlations (K, K) of scores (N, K); a column that does not vary correlates with none."""
    columns = scores.shape[1]
    correlations = torch.corrcoef(scores.T).reshape(columns, columns).nan_to_num(0).fill_diagonal_(1)
    precision: Tensor = torch.linalg.inv(correlations + 1e-6 * torch.eye(columns, dtype=scores.dtype))
    return precision
