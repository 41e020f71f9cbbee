"""Nonconformity scores: how atypical an item is, test by test and combined, among fitted items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flows.anomaly.density import KernelDensity
from flows.anomaly.likeness import Likeness
from flows.anomaly.statistics import Test

MINIMUM_ITEMS = 20
"""With fewer held-out items no p-value could reach 0.05."""

_STEP = 2.0**-8
"""Standardised statistics are rounded to multiples of this, so that another machine's rounding changes nothing."""
_LARGEST = 6e4
"""Near the largest number of half precision. Finite values are clipped to it."""
_LIKENESS = 1.5
"""The weight of a test by likeness, beside 1 of a test by a density.

With 1 the tests of densities, which share what they see, outvote the one that sees shapes. On near sets of digits 2 and
3 found a little more; on clothes they missed squares pasted over them, which 1.5 does not.
"""
_LEAST_SCALE, _LEAST_SHARE = 1e-9, 1e-4
"""The scale of a statistic is at least the first, and at least the second as a share of its mean."""


class NonconformityScores:
    """Nonconformity scores from the statistics ``fit`` (N, K) of ordinary items.

    A test's score of an item is minus the log-density of the item's statistics, under a kernel density of the fitted
    items, or how far they are from the nearest fitted items (see ``Likeness``). Statistics are standardised with
    ``scale`` (2, K), their means and standard deviations, and rounded to half precision. Given ``scale``, ``fit`` must
    be standardised already. Raises ValueError for tables that are too small, of the wrong width or not finite.

    Three shapes are used: statistics (B, K); ``features`` (G, B), the reported statistics followed by the score of each
    test; and test scores (T, B), the last T rows of the features.

    >>> test = flows.anomaly.Test("size", ("size",))
    >>> scores = flows.anomaly.NonconformityScores([test], torch.randn(100, 1).double())
    >>> features = scores.features(torch.tensor([[0.0], [9.0]]).double())
    >>> ordinary, extreme = scores.combined(features)
    >>> bool(extreme > ordinary)
    True
    """

    def __init__(self, tests: Sequence[Test], fit: Tensor, scale: Tensor | None = None) -> None:
        names = [name for test in tests for name in test.statistics]
        check_table(fit, len(names))
        self.tests = tuple(tests)
        self.scale = _scale_of(fit) if scale is None else scale.double()
        if self.scale.shape != (2, len(names)) or not bool((self.scale[1] > 0).all()):
            raise ValueError(f"a calibration needs a scale of two rows of {len(names)} numbers, the second positive")
        self.fit = self._standardised(fit) if scale is None else fit.double()
        self.reported = [name for test in tests for name in test.reported]
        self._reported = [names.index(name) for name in self.reported]
        # A list would be copied to the device as an index, each time.
        self._reported_index = torch.tensor(self._reported, dtype=torch.int64, device=fit.device)
        self._widths = [len(test.statistics) for test in tests]
        fitted_parts = zip(self.tests, torch.split(self.fit, self._widths, dim=1), strict=True)
        self._judges = [Likeness(part) if test.by_likeness else KernelDensity(part) for test, part in fitted_parts]
        # The scores of the fitted items themselves, each without its own kernel, sorted: (T, N).
        fitted = torch.stack([judge.leave_one_out_scores() for judge in self._judges]).sort(dim=1).values
        # Scores are stored relative to the least: half precision is finest near zero, where most ordinary items are.
        self._least = fitted[:, :1]
        weights = [_LIKENESS if test.by_likeness else 1.0 for test in self.tests]
        self._weights = torch.tensor(weights, dtype=torch.float64, device=fit.device)[:, None]
        self._fitted = fitted - self._least

    def features(self, statistics: Tensor) -> Tensor:
        """Statistics (B, K) -> features (G, B): the reported statistics, standardised, then the score of each test.

        Further columns are of tests that this calibration is older than, and are left out.
        Rounded as the held-out items are stored, so that equal items compare as equal. Not finite where an item is
        beyond all others.
        """
        standardised = self._standardised(statistics[:, : len(self.scale[0])])
        parts = zip(self._judges, torch.split(standardised, self._widths, dim=1), strict=True)
        scores = torch.stack([judge.scores(part) for judge, part in parts])
        return torch.cat([standardised.T.index_select(0, self._reported_index), _half(scores - self._least)])

    def of_tests(self, features: Tensor) -> Tensor:
        """The test scores (T, B) among the features (G, B)."""
        return features[len(self._reported) :]

    def in_units(self, features: Tensor, statistic: str) -> Tensor:
        """A reported statistic (B,) among the features (G, B), in its own unit."""
        row = self.reported.index(statistic)
        mean, deviation = self.scale[:, self._reported[row]]
        found: Tensor = features[row] * deviation + mean
        return found

    def combined(self, features: Tensor) -> Tensor:
        """Features (G, B) -> one score (B,): the weighted sum of minus log p over the tests (Fisher 1932, Good 1955).

        It is large for one very large test score or for several rather large ones. Test scores become comparable as
        p-values among the fitted items. Beyond the largest fitted score all p-values are equal, so the distance beyond
        it is added. Tests are not independent, so the sum is not chi-square as Fisher's; it only orders items.
        """
        scores, largest = self.of_tests(features).contiguous(), self._fitted[:, -1:]
        beyond = (scores - largest).clamp(0, 1e9) / largest.abs().clamp_min(1)
        return ((beyond - p_values(self._fitted, scores).log()) * self._weights).sum(dim=0)

    def _standardised(self, statistics: Tensor) -> Tensor:
        """Statistics (B, K) in standard units, rounded as they are stored."""
        return _half(((statistics.double() - self.scale[0]) / self.scale[1] / _STEP).round() * _STEP)


def p_values(sorted_scores: Tensor, scores: Tensor) -> Tensor:
    """(1 + #{calibration scores >= score}) / (n + 1), given the sorted calibration scores (..., n)."""
    return p_values_of_ranks(torch.searchsorted(sorted_scores, scores), sorted_scores.shape[-1])


def p_values_of_ranks(less: Tensor, n: int) -> Tensor:
    """p-values of items, given how many of the n calibration items score lower."""
    return (1 + n - less).double() / (n + 1)


def check_table(table: Tensor, columns: int) -> None:
    """Raise ValueError if a table is too small, has another number of columns or holds values that are not finite."""
    if table.ndim != 2 or table.shape[1] != columns or len(table) < MINIMUM_ITEMS or not bool(table.isfinite().all()):
        raise ValueError(
            f"a calibration needs two tables of at least {MINIMUM_ITEMS} rows of {columns} finite numbers, "
            f"got {tuple(table.shape)}"
        )


def _half(values: Tensor) -> Tensor:
    """Values rounded to half precision. Finite values stay finite."""
    return values.where(~values.isfinite(), values.clamp(-_LARGEST, _LARGEST)).half().double()


def _scale_of(fit: Tensor) -> Tensor:
    """Means and standard deviations (2, K) of the fitted statistics, rounded to float32 as they are stored.

    The deviation has a floor: a statistic that does not vary must not make another machine's rounding look atypical.
    """
    mean = fit.double().mean(dim=0)
    std = fit.double().std(dim=0).maximum(_LEAST_SHARE * mean.abs()).clamp_min(_LEAST_SCALE)
    return torch.stack([mean, std]).float().double()
