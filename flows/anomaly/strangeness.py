"""How strange an item is, test by test and in all: statistics against the densities of fitted items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flows.anomaly.density import KernelDensity
from flows.anomaly.statistics import Test

LEAST = 20
"""Fewer held-out items could not even reach p = 0.05."""

_STEP, _FARTHEST = 2.0**-8, 6e4
"""Of statistics in deviations from the mean: finer than a step they are not told apart, farther half precision ends."""
_ROUNDING, _SMALLEST = 1e-4, 1e-9


class Strangeness:
    """Made from the statistics ``fit`` (N, K) of ordinary items.

    They are kept in standard units, ``scale`` (2, K) their means and deviations, rounded to half precision; where a
    scale is given, ``fit`` comes in these units. Raises ValueError.
    """

    def __init__(self, tests: Sequence[Test], fit: Tensor, scale: Tensor | None = None) -> None:
        names = [name for test in tests for name in test.statistics]
        check_table(fit, len(names))
        self.tests = tuple(tests)
        self.scale = _scale_of(fit) if scale is None else scale.double()
        if self.scale.shape != (2, len(names)) or not bool((self.scale[1] > 0).all()):
            raise ValueError(f"a calibration needs a scale of two rows of {len(names)} numbers")
        self.fit = self._rounded(fit) if scale is None else fit.double()
        self.telling = [name for test in tests for name in test.telling]
        self._telling = [names.index(name) for name in self.telling]
        self._widths = [len(test.statistics) for test in tests]
        self._densities = [KernelDensity(part) for part in torch.split(self.fit, self._widths, dim=1)]
        # How strange fitted items look to the others, test by test and sorted: (T, N).
        fitted = torch.stack([density.strangeness_left_out() for density in self._densities]).sort(dim=1).values
        # It counts from the least: half precision is finest near zero, where most ordinary items of a test may be.
        self._least = fitted[:, :1]
        self._fitted = fitted - self._least

    def places(self, statistics: Tensor) -> Tensor:
        """(G, B), what items are compared by: the statistics that tell something alone, then each test's strangeness.

        From statistics (B, K). Rounded as they are kept, so that rounding favours nobody; not finite where an item is
        stranger than anything.
        """
        rounded = self._rounded(statistics)
        parts = zip(self._densities, torch.split(rounded, self._widths, dim=1), strict=True)
        strange = torch.stack([density.strangeness(part) for density, part in parts])
        return torch.cat([rounded.T[self._telling], _half(strange - self._least)])

    def of_tests(self, places: Tensor) -> Tensor:
        """Each test's strangeness (T, B) among the places (G, B)."""
        return places[len(self._telling) :]

    def in_units(self, places: Tensor, statistic: str) -> Tensor:
        """A telling statistic (B,) among the places (G, B), in its own units."""
        row = self.telling.index(statistic)
        mean, deviation = self.scale[:, self._telling[row]]
        found: Tensor = places[row] * deviation + mean
        return found

    def combined(self, places: Tensor) -> Tensor:
        """(B,): one very strange test, or several that are rather strange: the sum of the logarithms (Fisher 1932).

        Strangeness is comparable once it is a rank among the fitted items. Beyond the strangest of them ranks are
        equal; the strangeness itself then tells how far beyond. Tests are not independent, so that the sum is not
        chi-square as Fisher's is: it only orders items.
        """
        strange, strangest = self.of_tests(places).contiguous(), self._fitted[:, -1:]
        beyond = (strange - strangest).clamp(0, 1e9) / strangest.abs().clamp_min(1)
        return (beyond - p_values(self._fitted, strange).log()).sum(dim=0)

    def _rounded(self, statistics: Tensor) -> Tensor:
        """Statistics (B, K) as they are kept."""
        return _half(((statistics.double() - self.scale[0]) / self.scale[1] / _STEP).round() * _STEP)


def p_values(ordinary: Tensor, strangeness: Tensor) -> Tensor:
    """(1 + #{ordinary at least as strange}) / (n + 1); ``ordinary`` (..., n) is sorted."""
    return p_values_of(torch.searchsorted(ordinary, strangeness), ordinary.shape[-1])


def p_values_of(less: Tensor, n: int) -> Tensor:
    """The same of items than which so many of n ordinary ones are less strange."""
    return (1 + n - less).double() / (n + 1)


def check_table(table: Tensor, columns: int) -> None:
    """Raises ValueError where a table is too small to calibrate anything by."""
    if table.ndim != 2 or table.shape[1] != columns or len(table) < LEAST or not bool(table.isfinite().all()):
        raise ValueError(f"a calibration needs two tables of at least {LEAST} rows of finite numbers, here {columns}")


def _half(values: Tensor) -> Tensor:
    """Rounded to half precision; what is finite stays finite."""
    return values.where(~values.isfinite(), values.clamp(-_FARTHEST, _FARTHEST)).half().double()


def _scale_of(fit: Tensor) -> Tensor:
    """Means and deviations (2, K), as they are kept.

    A statistic that does not vary says nothing, and another machine's rounding of it must not look like news.
    """
    mean = fit.double().mean(dim=0)
    std = fit.double().std(dim=0).maximum(_ROUNDING * mean.abs()).clamp_min(_SMALLEST)
    return torch.stack([mean, std]).float().double()
