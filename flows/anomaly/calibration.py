"""From statistics to verdicts: conformal p-values whose false-alarm promise survives being combined.

Held-out items are split in two. The first part fits the densities; the second, which no fit has seen, says how strange
ordinary items look. p = (1 + #{held-out at least as strange}) / (n + 1) is then valid for any strangeness, however bad
the flow or the densities are (Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", section 2.2).
The tests are combined before that last step, not after it, so the combination needs no correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.density import KernelDensity
from flows.anomaly.statistics import Test

LEAST = 20
"""Fewer held-out items in either part could not even reach p = 0.05."""

_STEP, _FARTHEST = 2.0**-8, 6e4
"""Of statistics in deviations from the mean: finer than a step they are not told apart, farther half precision ends."""
_ROUNDING, _SMALLEST = 1e-4, 1e-9


class Verdict(NamedTuple):
    """p-values of B items, float64. Small means strange."""

    p_value: Tensor
    """The combined verdict (B,)."""
    tests: dict[str, Tensor]
    """Each test on its own (B,)."""


class GroupVerdict(NamedTuple):
    """Is a batch, taken together, one that the calibration set could have been?"""

    p_value: float
    statistic: float
    """Chi-square distributed with ``degrees`` degrees of freedom when the batch is ordinary."""
    degrees: int


@dataclass(frozen=True)
class _TestReference:
    """One test's density, and how strange ordinary items look to it (both sorted)."""

    columns: slice
    density: KernelDensity
    fit: Tensor
    held_out: Tensor


class Calibration:
    """Made from the statistics (N, K) of held-out items: ``fit`` for the densities, ``reference`` for the p-values.

    Both parts are all that it needs, and ``tensors`` gives exactly them to keep. They are kept in standard units of the
    fitted items, ``scale`` (2, K) their means and deviations, rounded to half precision; whatever is judged is rounded
    alike, so that rounding favours nobody.
    """

    def __init__(self, tests: Sequence[Test], fit: Tensor, reference: Tensor, scale: Tensor | None = None) -> None:
        columns = sum(len(test.statistics) for test in tests)
        for part in (fit, reference):
            if part.ndim != 2 or part.shape[1] != columns or len(part) < LEAST or not bool(part.isfinite().all()):
                raise ValueError(f"a calibration needs two tables of at least {LEAST} rows of {columns} finite numbers")
        self.tests = tuple(tests)
        self._scale = _scale_of(fit) if scale is None else scale.double()
        if self._scale.shape != (2, columns) or not bool((self._scale[1] > 0).all()):
            raise ValueError(f"a calibration needs a scale of two rows of {columns} numbers")
        self.fit, self.reference = (
            self._rounded(part) if scale is None else part.double() for part in (fit, reference)
        )
        self._parts: list[_TestReference] = []
        first = 0
        for test in tests:
            span = slice(first, first + len(test.statistics))
            density = KernelDensity(self.fit[:, span])
            left_out, held_out = density.strangeness_left_out(), density.strangeness(self.reference[:, span])
            self._parts.append(_TestReference(span, density, left_out.sort().values, held_out.sort().values))
            first = span.stop
        self._strangeness = self._combined(self._strange(self.reference)).sort().values
        self._columns = self.reference.T.contiguous().sort(dim=1).values
        self._precision = _precision(self._normal_scores(self.reference))

    @property
    def size(self) -> int:
        """n of the p-values: none is ever below 1 / (n + 1)."""
        return len(self.reference)

    def tensors(self) -> dict[str, Tensor]:
        return {"fit": self.fit.half(), "reference": self.reference.half(), "scale": self._scale.float()}

    def held_out(self, statistic: str) -> Tensor:
        """What the reference items have of a statistic (n,), in its own units."""
        column = [name for test in self.tests for name in test.statistics].index(statistic)
        return self.reference[:, column] * self._scale[1, column] + self._scale[0, column]

    def judge(self, statistics: Tensor) -> Verdict:
        """Statistics (B, K) of items -> p-values. A row that is not finite is stranger than anything: 1 / (n + 1)."""
        strange = self._strange(self._rounded(statistics))
        tests = {
            test.name: _p_value(part.held_out, column)
            for test, part, column in zip(self.tests, self._parts, strange, strict=True)
        }
        return Verdict(_p_value(self._strangeness, self._combined(strange)), tests)

    def judge_group(self, statistics: Tensor) -> GroupVerdict:
        """Statistics (M, K) of a whole batch -> whether its mean sits where means of M ordinary items do.

        Each statistic is taken to its normal score among the held-out items, so that a mean is near normal even for a
        small batch and no single item decides; Hotelling's quadratic form over the means is then chi-square.
        """
        scores = self._normal_scores(self._rounded(statistics))
        mean = scores.mean(dim=0)
        statistic = float(mean @ self._precision @ mean) / (1 / len(statistics) + 1 / self.size)
        degrees = len(mean)
        tail = torch.special.gammaincc(torch.tensor(degrees / 2.0), torch.tensor(statistic / 2).double())
        return GroupVerdict(float(tail), statistic, degrees)

    def _strange(self, statistics: Tensor) -> list[Tensor]:
        return [part.density.strangeness(statistics[:, part.columns]) for part in self._parts]

    def _rounded(self, statistics: Tensor) -> Tensor:
        """Statistics (N, K) as they are kept; what is finite stays finite."""
        scaled = ((statistics.double() - self._scale[0]) / self._scale[1] / _STEP).round() * _STEP
        return scaled.where(~scaled.isfinite(), scaled.clamp(-_FARTHEST, _FARTHEST)).half().double()

    def _combined(self, strange: Sequence[Tensor]) -> Tensor:
        """One very strange test, or several that are rather strange: the root of the sum of squares, as a distance.

        Strangeness is comparable once it is a rank among the fitted items. Beyond the strangest of them ranks are
        equal; the strangeness itself then tells how far beyond.
        """
        ranks = torch.stack(
            [_p_value(part.fit, column).log().neg() for part, column in zip(self._parts, strange, strict=True)]
        )
        beyond = torch.stack(
            [
                (column - part.fit[-1]).clamp(0, 1e9) / part.fit[-1].abs().clamp_min(1)
                for part, column in zip(self._parts, strange, strict=True)
            ]
        )
        return (ranks + beyond).square().sum(dim=0).sqrt()

    def _normal_scores(self, statistics: Tensor) -> Tensor:
        values = statistics.nan_to_num(nan=torch.inf).T.contiguous()
        below = torch.searchsorted(self._columns, values) + torch.searchsorted(self._columns, values, right=True)
        scores: Tensor = torch.special.ndtri((below.T + 1).double() / (2 * (self.size + 1)))
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


def _scale_of(fit: Tensor) -> Tensor:
    """Means and deviations (2, K), as they are kept.

    A statistic that does not vary says nothing, and another machine's rounding of it must not look like news.
    """
    mean = fit.double().mean(dim=0)
    std = fit.double().std(dim=0).maximum(_ROUNDING * mean.abs()).clamp_min(_SMALLEST)
    return torch.stack([mean, std]).float().double()


def _p_value(ordinary: Tensor, strangeness: Tensor) -> Tensor:
    """(1 + #{ordinary at least as strange}) / (n + 1); ``ordinary`` is sorted."""
    at_least = len(ordinary) - torch.searchsorted(ordinary, strangeness.contiguous())
    return (1 + at_least).double() / (len(ordinary) + 1)


def _precision(scores: Tensor) -> Tensor:
    """The inverse of the correlations (K, K) of scores (N, K); a column that does not vary correlates with none."""
    columns = scores.shape[1]
    correlations = torch.corrcoef(scores.T).reshape(columns, columns).nan_to_num(0).fill_diagonal_(1)
    precision: Tensor = torch.linalg.inv(correlations + 1e-6 * torch.eye(columns, dtype=scores.dtype))
    return precision
