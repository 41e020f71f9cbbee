"""The toy distributions are reproducible, finite, and shaped as their names say."""

import pytest
import torch

from trainer.data import CIRCLES, MOONS, PARABOLA, SPIRALS, Toy


@pytest.mark.parametrize("toy", [MOONS, CIRCLES, SPIRALS, PARABOLA], ids=lambda toy: toy.name)
def test_a_toy_is_the_same_at_every_reading_and_its_splits_differ(toy: Toy) -> None:
    train, test = toy.read(None)
    again, _ = toy.read(None)
    assert train.shape == (50_000, 2)
    assert test.shape == (10_000, 2)
    assert train.dtype == torch.float32
    assert train.isfinite().all()
    assert train.equal(again)
    assert not train[: len(test)].equal(test)


@pytest.mark.parametrize("toy", [MOONS, CIRCLES, SPIRALS, PARABOLA], ids=lambda toy: toy.name)
def test_further_points_follow_the_same_distribution_and_are_in_neither_set(toy: Toy) -> None:
    train, test = toy.read(None)
    more = toy.more()
    assert more.shape == (50_000, 2)
    seen = {tuple(point) for points in (train, test) for point in points.tolist()}
    assert not any(tuple(point) in seen for point in more.tolist())
    for power in (1, 2):
        one, other = train**power, more**power
        error = (one.var(dim=0) / len(one) + other.var(dim=0) / len(other)).sqrt()
        assert ((one.mean(dim=0) - other.mean(dim=0)).abs() < 4 * error).all()


def test_circles_lie_at_radius_one_and_two_with_twice_as_many_points_on_the_longer() -> None:
    radius = CIRCLES.read(None)[0].norm(dim=1)
    assert ((radius - 1).abs().minimum((radius - 2).abs()) < 0.5).all()
    assert (radius > 1.5).float().mean() == pytest.approx(2 / 3, abs=0.01)


def test_moons_have_two_halves_of_equal_weight_around_their_centres() -> None:
    x, y = MOONS.read(None)[0].T
    distance = torch.minimum((torch.hypot(x, y) - 1).abs(), (torch.hypot(x - 1, y - 0.5) - 1).abs())
    assert distance.quantile(0.99) < 0.25
    assert float(x.mean()) == pytest.approx(0.5, abs=0.02)


def test_a_parabolas_points_scatter_about_its_curve() -> None:
    x, y = PARABOLA.read(None)[0].T
    assert float((y - x**2 + 1).std()) == pytest.approx(0.25, abs=0.01)


def test_spiral_arms_are_each_others_half_turn() -> None:
    points = SPIRALS.read(None)[0]
    assert float(points.mean(dim=0).abs().max()) < 0.03
    assert float(points.norm(dim=1).quantile(0.5)) == pytest.approx(2 * 0.5**0.5, abs=0.05)
