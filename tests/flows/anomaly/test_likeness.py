"""The score of a point by its nearest fitted points."""

from __future__ import annotations

import pytest
import torch

from flows.anomaly.likeness import NEAREST, Likeness


def clusters() -> torch.Tensor:
    """Two clusters of 200 points, one a tenth as wide as the other, in turn."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(400, 3, generator=generator).double()
    points[::2] = points[::2] / 10 + 20
    return points


def test_the_score_is_the_log_ratio_of_the_distance_to_that_of_the_nearest_points() -> None:
    points = clusters()
    point = torch.tensor([[1.0, 2.0, -1.0]]).double()
    away, nearest = torch.cdist(point, points)[0].topk(NEAREST, largest=False)
    between = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(NEAREST, largest=False).values.mean(dim=1)
    expected = (away.mean() / between[nearest].mean()).log()
    assert float(Likeness(points).scores(point)) == pytest.approx(float(expected), rel=1e-3)


def test_a_point_beside_a_dense_cluster_is_as_atypical_as_one_far_from_scattered_points() -> None:
    likeness = Likeness(clusters())
    beside, far, inside = likeness.scores(torch.tensor([[21.0] * 3, [8.0] * 3, [0.5] * 3]).double())
    ordinary = likeness.leave_one_out_scores()
    assert min(beside, far) > ordinary.max() > inside
    assert ordinary[::2].median() == pytest.approx(float(ordinary[1::2].median()), abs=0.1)


def test_points_that_are_not_finite_and_points_that_recur_have_scores() -> None:
    likeness = Likeness(torch.ones(30, 2).double())
    extremes = torch.tensor([[1.0, 1.0], [torch.nan, 0.0], [1e300, -1e300]], dtype=torch.float64)
    same, missing, large = likeness.scores(extremes)
    assert abs(same) < 1e-3
    assert missing == torch.inf
    assert 10 < large < torch.inf


def test_points_beyond_those_that_are_kept_count_as_others() -> None:
    points = torch.randn(4200, 2, generator=torch.Generator().manual_seed(1)).double()
    likeness = Likeness(points)
    torch.testing.assert_close(likeness.leave_one_out_scores()[4096:], likeness.scores(points[4096:]))
