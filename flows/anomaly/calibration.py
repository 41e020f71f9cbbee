"""Conformal p-values from statistics, combined in a way that keeps their false-alarm guarantee.

Held-out items come in two parts. The first part fits the densities. The second part, unseen by any fit, gives the
nonconformity scores of ordinary items. Then p = (1 + #{held-out scores >= score}) / (n + 1) is valid for any score,
however bad the flow or the densities are (Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world",
section 2.2). Tests are combined before this last step, so the combined p-value needs no correction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.nonconformity import NonconformityScores, check_table, p_values_of_ranks
from flows.anomaly.statistics import Test, statistics
from flows.flow import Flow


class Verdict(NamedTuple):
    """p-values of B items, float64. Small means atypical.

    >>> generator = torch.Generator().manual_seed(0)
    >>> table = torch.randn(300, 1, generator=generator).double()
    >>> test = flows.anomaly.Test("size", ("size",))
    >>> verdict = flows.anomaly.Calibration.of([test], table[:100], table[100:]).judge(torch.tensor([[9.0]]).double())
    >>> verdict.p_value == 1 / 201, verdict.tests["size"] == 1 / 201
    (tensor([True]), tensor([True]))
    """

    p_value: Tensor
    """(B,): the p-value of all tests combined."""
    tests: dict[str, Tensor]
    """(B,) for each test: its own p-value."""
    scores: Tensor
    """(B, G): the normal scores of each item's features among the held-out ones, for ``Calibration.judge_group``."""
    ranks: Tensor
    """(B, K, 1 + T, 2) int64: how many of the held-out items of member k score lower, and how many at most as much.

    The combined score comes first, then each test. K is 1 but for cross-conformal p-values.
    """
    measures: Tensor | None = None
    """(B, K, F): what ``renewed`` needs of each item, by each member. None for pictures of any size."""


class GroupVerdict(NamedTuple):
    """Whether a batch, taken together, could be a batch of ordinary items.

    >>> generator = torch.Generator().manual_seed(0)
    >>> table = torch.randn(300, 1, generator=generator).double()
    >>> test = flows.anomaly.Test("size", ("size",))
    >>> calibration = flows.anomaly.Calibration.of([test], table[:100], table[100:])
    >>> shifted = calibration.judge(torch.randn(50, 1, generator=generator).double() + 1)
    >>> calibration.judge_group(shifted.scores).p_value < 0.001
    True
    """

    p_value: float
    statistic: float
    """Chi-square distributed with ``degrees`` degrees of freedom for ordinary batches."""
    degrees: int


class Assessment(NamedTuple):
    """What a calibration says of B items at once, float64 on the device of the flow."""

    log_likelihood: Tensor
    """(B,): nats, under the flow that answers."""
    statistics: Tensor
    """(B, K): the statistics that mean something on their own, in the order of the tests."""
    verdict: Verdict


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _columns_of(tests: tuple[Test, ...], device: torch.device) -> Tensor:
    """The columns of the statistics that mean something on their own; read and never written to."""
    names = [name for test in tests for name in test.statistics]
    index = [names.index(name) for test in tests for name in test.reported]
    return torch.tensor(index, dtype=torch.int64).to(device)


class Calibration:
    """The features of held-out items (n, G), under nonconformity scores that were fitted without these items.

    ``tensors`` gives all that ``from_tensors`` needs to make the same calibration again.

    >>> generator = torch.Generator().manual_seed(0)
    >>> table = torch.randn(300, 2, generator=generator).double()
    >>> test = flows.anomaly.Test("place", ("across", "down"))
    >>> calibration = flows.anomaly.Calibration.of([test], table[:100], table[100:])
    >>> calibration
    Calibration(tests=['place'], fit=100, held_out=200)
    >>> calibration.judge(torch.tensor([[0.0, 0.0], [9.0, 9.0]]).double()).p_value < 0.01
    tensor([False,  True])
    >>> {name: tuple(tensor.shape) for name, tensor in calibration.tensors().items()}
    {'fit': (100, 2), 'held_out': (200, 3), 'scale': (2, 2)}
    """

    def __init__(self, nonconformity: NonconformityScores, features: Tensor) -> None:
        self.nonconformity, self.features = nonconformity, features.half()
        check_table(self.features, len(nonconformity.reported) + len(nonconformity.tests))
        columns = self.features.T.double().contiguous()
        # Searched for every item. float32 holds half precision exactly, and more of it stays in the cache than float64.
        self._columns = columns.float().sort(dim=1).values
        self._combined = nonconformity.combined(columns).sort().values
        quantiles = torch.arange(1, 2 * self.size + 2, device=features.device).double() / (2 * (self.size + 1))
        self._normal_score_of = torch.special.ndtri(quantiles)
        self._precision = precision_of(self._normal_scores(*self._ranks(columns)).cpu())

    @classmethod
    def of(cls, tests: Sequence[Test], fit: Tensor, held_out: Tensor) -> Calibration:
        """From statistics (N, K) that fit the densities, and others (n, K) for the p-values. Raises ValueError."""
        check_table(held_out, sum(len(test.statistics) for test in tests))
        nonconformity = NonconformityScores(tests, fit)
        return cls(nonconformity, nonconformity.features(held_out).T)

    @classmethod
    def from_tensors(cls, tests: Sequence[Test], tensors: Mapping[str, Tensor]) -> Calibration:
        """From what ``tensors`` gave. Raises ValueError, and KeyError for a missing tensor."""
        return cls(NonconformityScores(tests, tensors["fit"], tensors["scale"]), tensors["held_out"])

    def tensors(self) -> dict[str, Tensor]:
        """What a store keeps: ``fit`` (N, K), ``held_out`` (n, G) and ``scale`` (2, K)."""
        return {
            "fit": self.nonconformity.fit.half(),
            "held_out": self.features,
            "scale": self.nonconformity.scale.float(),
        }

    @property
    def size(self) -> int:
        """n, the number of held-out items. No p-value is below 1 / (n + 1)."""
        return len(self.features)

    @property
    def fit(self) -> int:
        """The number of items that fitted the nonconformity scores."""
        return len(self.nonconformity.fit)

    @property
    def tests(self) -> tuple[Test, ...]:
        """The tests that make up a verdict."""
        return self.nonconformity.tests

    def assess(self, flow: Flow, x: Tensor) -> Assessment:
        """The likelihoods of and verdicts on continuous points (B, *item_shape), in one forward pass of the flow."""
        return self.assess_statistics(statistics(flow, x))

    def assess_statistics(self, found: Tensor) -> Assessment:
        """``assess`` of points whose statistics (B, K) are known."""
        names = [name for test in self.tests for name in test.statistics]
        return Assessment(
            found[:, names.index("log_likelihood")],
            found.index_select(1, _columns_of(self.tests, found.device)),
            self.judge(found),
        )

    @property
    def ordinary_scores(self) -> Tensor:
        """The nonconformity scores (n,) of the held-out items, ascending, which p-values rank an item among."""
        return self._combined

    def held_out(self, statistic: str) -> Tensor:
        """The values (n,) of a reported statistic over the held-out items, in its own unit."""
        return self.nonconformity.in_units(self.features.T.double(), statistic)

    def judge(self, statistics: Tensor) -> Verdict:
        """p-values of items from their statistics (B, K). A row that is not finite gets the least one, 1 / (n + 1)."""
        return self.judge_features(self.nonconformity.features(statistics))

    def judge_features(self, features: Tensor) -> Verdict:
        """``judge`` of items whose features (G, B) under ``nonconformity`` are known."""
        less, at_most = self._ranks(features)
        of_tests = self.nonconformity.of_tests
        each = p_values_of_ranks(of_tests(less), self.size)
        combined = self.nonconformity.combined(features)
        lower = torch.searchsorted(self._combined, combined)
        lower_or_equal = torch.searchsorted(self._combined, combined, right=True)
        ranks = [torch.cat([lower[None], of_tests(less)]), torch.cat([lower_or_equal[None], of_tests(at_most)])]
        return Verdict(
            p_values_of_ranks(lower, self.size),
            {test.name: column for test, column in zip(self.nonconformity.tests, each, strict=True)},
            self._normal_scores(less, at_most),
            torch.stack(ranks, dim=2).transpose(0, 1)[:, None],
            features.T.contiguous()[:, None],
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many held-out items each member ranks an item among: n, of the only one."""
        return (self.size,)

    def judge_group(self, scores: Tensor) -> GroupVerdict:
        """Whether the mean of ``Verdict.scores`` (M, G) of a batch is a likely mean of M ordinary items.

        The mean of normal scores is nearly normal even for a small batch, and no single item dominates it. Hotelling's
        quadratic form of the means is then chi-square. This would not hold for many statistics that hardly vary; such
        joint statistics contribute through their test's score only.
        """
        return self.judge_groups(scores, [len(scores)])[0]

    def judge_groups(self, scores: Tensor, lengths: Sequence[int]) -> list[GroupVerdict]:
        """``judge_group`` of several batches, whose scores (sum of lengths, G) follow one another.

        Each verdict is what its batch gets alone, to the bit.
        """
        return group_verdicts(scores, lengths, self._precision, self.size)

    def _ranks(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """For features (G, B): the number of held-out values that are less, and at most equal, (G, B) each."""
        values = features.nan_to_num(nan=torch.inf).float()
        return torch.searchsorted(self._columns, values), torch.searchsorted(self._columns, values, right=True)

    def _normal_scores(self, less: Tensor, at_most: Tensor) -> Tensor:
        """Normal quantiles (B, G) of the mean of both ranks (G, B)."""
        doubled = (less + at_most).T
        scores: Tensor = self._normal_score_of.index_select(0, doubled.flatten()).view(doubled.shape)
        return scores

    def __repr__(self) -> str:
        names = [test.name for test in self.nonconformity.tests]
        return f"Calibration(tests={names}, fit={len(self.nonconformity.fit)}, held_out={self.size})"


def benjamini_hochberg(p_values: Tensor, rate: float) -> Tensor:
    """Flags (M,) bool of items, such that the expected share of false flags among all flags is at most ``rate``.

    Benjamini & Hochberg 1995, "Controlling the false discovery rate". Valid for conformal p-values that share one
    calibration set too (Bates et al. 2023, "Testing for outliers with conformal p-values", theorem 2).

    >>> flows.anomaly.benjamini_hochberg(torch.tensor([0.001, 0.9, 0.03]), rate=0.1)
    tensor([ True, False,  True])
    """
    order = p_values.argsort()
    allowed = rate * torch.arange(1, len(p_values) + 1, dtype=p_values.dtype) / len(p_values)
    # Conformal p-values are fractions that meet the bound exactly: rounding is not to decide.
    allowed *= 1 + 4 * torch.finfo(p_values.dtype).eps
    passing = (p_values[order] <= allowed).nonzero()
    flags = torch.zeros(len(p_values), dtype=torch.bool)
    if len(passing):
        flags[order[: int(passing[-1]) + 1]] = True
    return flags


def group_verdicts(scores: Tensor, lengths: Sequence[int], precision: Tensor, size: int) -> list[GroupVerdict]:
    """Verdicts on batches whose normal scores (sum of lengths, G) follow one another.

    ``precision`` (G, G) is the inverse correlation of the scores of ``size`` held-out items.
    """
    statistics: list[float] = []
    for part in torch.split(scores, list(lengths)):
        mean = part[0] if len(part) == 1 else part.mean(dim=0)
        statistics.append(float(mean @ precision @ mean) / (1 / len(part) + 1 / size))
    degrees = scores.shape[1]
    halves = torch.tensor(statistics, dtype=torch.float64) / 2
    tails = torch.special.gammaincc(torch.full_like(halves, degrees / 2.0), halves).tolist()
    return [GroupVerdict(tail, value, degrees) for tail, value in zip(tails, statistics, strict=True)]


def precision_of(scores: Tensor) -> Tensor:
    """The inverse correlation matrix (K, K) of scores (N, K). A constant column correlates with nothing."""
    columns = scores.shape[1]
    correlations = torch.corrcoef(scores.T).reshape(columns, columns).nan_to_num(0).fill_diagonal_(1)
    precision: Tensor = torch.linalg.inv(correlations + 1e-6 * torch.eye(columns, dtype=scores.dtype))
    return precision


def least_alpha(n: int) -> float:
    """The smallest p-value that n items can give, 1 / (n + 1), rounded up to three digits: an alpha that it reaches.

    >>> flows.anomaly.calibration.least_alpha(60)
    0.0164
    """
    digits = 2 + math.ceil(math.log10(n + 1))
    return math.ceil(10.0**digits / (n + 1)) / 10.0**digits
