"""The kernel density: its leave-one-out scores, and its limit on the number of kernels."""

from __future__ import annotations

import pytest
import torch

from flows.anomaly.density import KernelDensity
from tests.flows.anomaly.tables import table


def test_a_leave_one_out_score_is_that_of_a_density_without_the_point() -> None:
    points = table(60, 2, 11)
    density = KernelDensity(points)
    left_out = density.leave_one_out_scores()
    whole = density.scores(points)
    assert bool((left_out > whole).all()), "its own kernel lowers the score of a point"
    # exp(-whole) contains the point's own kernel, exp(0) = 1
    torch.testing.assert_close((-whole).exp() - 1, (-left_out).exp(), atol=1e-4, rtol=1e-3)


def test_only_the_first_of_many_points_have_kernels_and_all_get_scores() -> None:
    points = table(900, 2, 12)
    density = KernelDensity(points)
    left_out, whole = density.leave_one_out_scores(), density.scores(points)
    assert len(left_out) == len(points)
    kernels = left_out > whole
    assert bool(kernels[:512].all())
    assert not bool(kernels[512:].any()), "the other points have no kernel"
    torch.testing.assert_close(left_out[512:], whole[512:])
    assert left_out[:512].median() == pytest.approx(float(left_out[512:].median()), abs=0.2), (
        "both kinds have similar scores"
    )
