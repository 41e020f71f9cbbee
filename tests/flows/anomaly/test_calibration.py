"""Calibrated verdicts: ordinary items rarely alarm, atypical ones do, and nothing turns into NaN."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flows import anomaly
from tests.flows.anomaly.tables import table

LIKELIHOOD = anomaly.Test("likelihood", ("log_likelihood",))
PAIR = anomaly.Test("pair", ("log_likelihood", "code_bits"))


def judge_group(calibration: anomaly.Calibration, statistics: Tensor) -> anomaly.GroupVerdict:
    return calibration.judge_group(calibration.judge(statistics).scores)


@pytest.fixture(scope="module")
def calibration() -> anomaly.Calibration:
    return anomaly.Calibration.of((LIKELIHOOD, PAIR), table(500, 3, 1), table(2000, 3, 2))


def test_p_values_of_ordinary_items_are_uniform(calibration: anomaly.Calibration) -> None:
    verdict = calibration.judge(table(2000, 3, 3))
    for p_values in (verdict.p_value, *verdict.tests.values()):
        assert kolmogorov_smirnov(p_values) < 1.95 * math.sqrt(2 / 2000), "two samples of 2,000: p < 0.001"


def test_the_combined_p_value_finds_atypical_items(calibration: anomaly.Calibration) -> None:
    far = table(200, 3, 4) + torch.tensor([0.0, 30.0, 0.0], dtype=torch.float64)
    unusual_together = table(200, 3, 5)[:, [0, 2, 1]] * torch.tensor([1.0, 0.02, 30.0], dtype=torch.float64)
    for strange in (far, unusual_together):
        assert (calibration.judge(strange).p_value < 0.05).double().mean() > 0.8


def test_p_values_stay_within_their_resolution(calibration: anomaly.Calibration) -> None:
    verdict = calibration.judge(table(500, 3, 6) * 1e6)
    assert verdict.p_value.min() == pytest.approx(1 / 2001)
    assert verdict.p_value.max() <= 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308])
def test_a_statistic_that_is_not_finite_gets_the_least_p_value(calibration: anomaly.Calibration, bad: float) -> None:
    rows = table(3, 3, 7)
    rows[1] = bad
    verdict = calibration.judge(rows)
    assert verdict.p_value[1].item() == pytest.approx(1 / 2001)
    assert torch.equal(verdict.p_value[[0, 2]], calibration.judge(rows[[0, 2]]).p_value)
    assert math.isfinite(judge_group(calibration, rows).p_value)


def test_a_verdict_does_not_depend_on_the_batch(calibration: anomaly.Calibration) -> None:
    rows = table(50, 3, 8)
    alone = torch.cat([calibration.judge(row[None]).p_value for row in rows])
    torch.testing.assert_close(alone, calibration.judge(rows).p_value, atol=1 / 2001, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_ordinary_groups_rarely_alarm(calibration: anomaly.Calibration, size: int) -> None:
    groups = [judge_group(calibration, table(size, 3, 100 + seed)).p_value for seed in range(400)]
    alarms = sum(p <= 0.05 for p in groups)
    assert alarms <= 39, "20 expected of 400; 39 has a probability below 1e-4"


def test_a_group_verdict_detects_a_shift_that_single_items_do_not_show(calibration: anomaly.Calibration) -> None:
    shifted = table(100, 3, 9) * 1.6
    assert judge_group(calibration, shifted).p_value < 1e-6
    assert (calibration.judge(shifted).p_value < 0.01).double().mean() < 0.2


def test_tensors_make_the_same_calibration_again(calibration: anomaly.Calibration) -> None:
    again = anomaly.Calibration.from_tensors((LIKELIHOOD, PAIR), calibration.tensors())
    rows = table(100, 3, 10)
    assert torch.equal(again.judge(rows).p_value, calibration.judge(rows).p_value)
    assert judge_group(again, rows) == judge_group(calibration, rows)
    held_out = calibration.held_out("log_likelihood")
    torch.testing.assert_close(held_out, table(2000, 3, 2)[:, 0], rtol=1e-3, atol=0.02)


def test_a_constant_statistic_leaves_p_values_uniform() -> None:
    fit, reference, rows = (table(100, 3, seed) for seed in (1, 2, 3))
    for part in (fit, reference, rows):
        part[:, 1] = 7.0
    p_values = anomaly.Calibration.of((LIKELIHOOD, PAIR), fit, reference).judge(rows).p_value
    assert bool(p_values.isfinite().all())
    assert 0.3 < p_values.mean() < 0.7


def test_tests_of_joint_statistics_alone_calibrate_too() -> None:
    layout = anomaly.Test("layout", (), ("left", "right"))
    calibration = anomaly.Calibration.of((layout,), table(100, 2, 1), table(300, 2, 2))
    p_values = calibration.judge(table(300, 2, 3)).p_value
    assert kolmogorov_smirnov(p_values) < 1.95 * math.sqrt(2 / 300), "two samples of 300: p < 0.001"


@pytest.mark.parametrize(
    ("fit", "reference"),
    [
        (torch.ones(5, 3), torch.ones(50, 3)),
        (torch.ones(50, 3), torch.ones(5, 3)),
        (torch.ones(50, 2), torch.ones(50, 3)),
        (torch.full((50, 3), math.nan), torch.ones(50, 3)),
    ],
)
def test_tables_too_small_or_not_finite_are_refused(fit: Tensor, reference: Tensor) -> None:
    with pytest.raises(ValueError, match="calibration needs"):
        anomaly.Calibration.of((LIKELIHOOD, PAIR), fit, reference)


def test_rounding_errors_of_a_constant_statistic_change_no_verdict() -> None:
    fit, reference, rows = (table(200, 3, seed) for seed in (1, 2, 3))
    for part in (fit, reference, rows):
        part[:, 1] = 543.21
    calibration = anomaly.Calibration.of((LIKELIHOOD, PAIR), fit, reference)
    rounded = rows.clone()
    rounded[:, 1] *= 1 + 1e-7
    torch.testing.assert_close(calibration.judge(rounded).p_value, calibration.judge(rows).p_value, atol=0.01, rtol=0)
    assert judge_group(calibration, rounded).p_value == pytest.approx(judge_group(calibration, rows).p_value)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 0.5))
def test_benjamini_hochberg_flags_the_most_items_that_the_rate_allows(p_values: list[float], rate: float) -> None:
    flags = anomaly.benjamini_hochberg(torch.tensor(p_values, dtype=torch.float64), rate)
    slack = 1 + 4 * torch.finfo(torch.float64).eps
    below = [k for k, p in enumerate(sorted(p_values), 1) if p <= rate * k / len(p_values) * slack]
    assert int(flags.sum()) == max(below, default=0)
    flagged = [p for p, flag in zip(p_values, flags.tolist(), strict=True) if flag]
    assert sorted(flagged) == sorted(p_values)[: len(flagged)], "the smallest are flagged"


@given(st.integers(1, 200), st.sampled_from([0.01, 0.05, 0.1, 0.2]))
def test_benjamini_hochberg_flags_what_meets_the_bound_exactly(count: int, rate: float) -> None:
    p_values = torch.full((count,), 1 / round(1 / rate), dtype=torch.float64)
    assert anomaly.benjamini_hochberg(p_values, rate).all()


def kolmogorov_smirnov(p_values: Tensor) -> float:
    """The largest distance between the distribution of p-values (n,) and the uniform one."""
    ordered, n = p_values.sort().values, len(p_values)
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    return float(torch.maximum((steps - ordered).abs(), (ordered - steps + 1 / n).abs()).max())
