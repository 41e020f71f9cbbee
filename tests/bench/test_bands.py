"""Bands of alarms hold what they say, by exact sums over small counts."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.bands import beta_binomial, binomial


def exact_tails(probabilities: list[Fraction], low: float, high: float) -> tuple[float, float]:
    """What lies below and above a band, both ends included in it."""
    count = len(probabilities) - 1
    first, last = round(low * count), round(high * count)
    return float(sum(probabilities[:first])), float(sum(probabilities[last + 1 :]))


@given(st.integers(5, 60), st.sampled_from([Fraction(1, 10), Fraction(1, 2), Fraction(1, 100)]))
def test_a_binomial_band_leaves_out_half_a_percent_on_either_side_at_most(count: int, alpha: Fraction) -> None:
    chances = [comb(count, k) * alpha**k * (1 - alpha) ** (count - k) for k in range(count + 1)]
    band = binomial(count, float(alpha))
    below, above = exact_tails(chances, band.low, band.high)
    assert below < 0.005 + 1e-9
    assert above <= 0.005 + 1e-9
    assert below + float(chances[round(band.low * count)]) >= 0.005 - 1e-9, "no narrower band would do"


@given(st.integers(5, 40), st.integers(20, 60), st.sampled_from([0.1, 0.5]))
def test_the_band_for_n_is_that_of_ranks_among_n_and_the_items(count: int, n: int, alpha: float) -> None:
    # Of n + count exchangeable items, a test item alarms when fewer than k calibration items are as strange. The k-th
    # strangest of the calibration items then stands behind as many test items as there are alarms.
    k = int(alpha * (n + 1) + 1e-9)
    chances = [
        Fraction(comb(alarms + k - 1, alarms) * comb(count - alarms + n - k, count - alarms), comb(count + n, count))
        for alarms in range(count + 1)
    ]
    assert sum(chances) == 1
    band = beta_binomial(count, alpha, n)
    below, above = exact_tails(chances, band.low, band.high)
    assert below < 0.005 + 1e-9
    assert above <= 0.005 + 1e-9


def test_the_band_for_n_is_the_wider_and_closes_in_as_n_grows() -> None:
    plain, few, many = binomial(10_000, 0.05), beta_binomial(10_000, 0.05, 1999), beta_binomial(10_000, 0.05, 10**7 - 1)
    assert few.low < plain.low
    assert few.high > plain.high
    assert (many.low, many.high) == pytest.approx((plain.low, plain.high), abs=2e-4)
    assert 0.05 in plain
    assert 0.1 not in plain
