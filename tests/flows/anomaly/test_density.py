"""The kernel density: its leave-one-out scores, and its limit on the number of kernels."""

from __future__ import annotations

import pytest
import torch

from flows.anomaly.density import KernelDensity
from tests.flows.anomaly.tables import table


def test_left_out_strangeness_is_that_of_a_density_without_the_point() -> None:
    points = table(60, 2, 11)
    density = KernelDensity(points)
    left_out = density.leave_one_out_scores()
    whole = density.scores(points)
    assert bool((left_out > whole).all()), "a point is stranger to the others than to itself"
    # exp(-whole) counts the point's own kernel, which is exp(0)
    torch.testing.assert_close((-whole).exp() - 1, (-left_out).exp(), atol=1e-4, rtol=1e-3)


def test_of_many_points_the_first_carry_the_density_and_all_of_them_are_told_how_strange_they_are() -> None:
    points = table(900, 2, 12)
    density = KernelDensity(points)
    left_out, whole = density.leave_one_out_scores(), density.scores(points)
    assert len(left_out) == len(points)
    kernels = left_out > whole
    assert bool(kernels[:512].all())
    assert not bool(kernels[512:].any()), "the others were never in"
    torch.testing.assert_close(left_out[512:], whole[512:])
    assert left_out[:512].median() == pytest.approx(float(left_out[512:].median()), abs=0.2), "they are strange alike"
