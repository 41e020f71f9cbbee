"""Draws from the conditional of a flow with sharp modes: windows drawn anew, and what Metropolis makes of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import flows
from flows import UnitMixture, inpainting, noise
from flows.inpainting import Climb
from flows.inpainting.windows import tiles, window
from tests.flows.cases import disturb

CHAINS = 600


@pytest.fixture
def small() -> flows.Flow:
    """Sixteen pixels in float64, whose densities depend on those before them."""
    return disturb(flows.lattice((4, 4), width=6, blocks=1, components=3).double()).requires_grad_(False)


def known(*hidden: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """x (CHAINS, 4, 4), every chain the same, what is hidden of it, and keys."""
    x = torch.rand(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    mask = torch.zeros(4, 4, dtype=torch.bool)
    for place in hidden:
        mask[place] = True
    return x.expand(CHAINS, 4, 4), mask.expand(CHAINS, 4, 4), noise.keys(7, CHAINS)


def sample(flow: flows.Flow, x: Tensor, hidden: Tensor, keys: Tensor, **options: object) -> Climb:
    survey = inpainting.survey(flow)
    climb = inpainting.start(flow, x, hidden, keys, survey=survey, method="langevin", **options)
    while not bool(climb.done.all()):
        climb = inpainting.step(flow, climb)
    return climb


@given(seed=st.integers(0, 2**31), components=st.integers(1, 8), size=st.floats(0.1, 10))
def test_a_mixture_draws_from_its_own_density(seed: int, components: int, size: float) -> None:
    raw = torch.randn(1, UnitMixture.parameters(components), 1, generator=torch.Generator().manual_seed(seed))
    mixture = UnitMixture((size * raw).double().expand(-1, -1, 4000), components)
    uniform = noise.uniform(noise.keys(seed, 1), (4000,))
    levels = mixture.to_latent(mixture.draw(uniform))[0].sigmoid()[0].sort().values  # F(u) is uniform, then
    expected = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    assert float((levels - expected).abs().max()) < 2.6 / 4000**0.5, "Kolmogorov's test at 1 in 400,000"


@pytest.mark.parametrize("shape", [(8, 12), (4, 8, 3)])
def test_redrawing_leaves_what_is_not_chosen_and_tells_every_entrys_density(shape: tuple[int, ...]) -> None:
    flow = disturb(flows.lattice(shape, width=6, blocks=1, components=3).double()).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(5, *shape, dtype=torch.float64, generator=generator)
    chosen = torch.rand(5, *shape, generator=generator) < 0.4
    chosen[0] = False
    new, log_densities = flow.redraw(x, chosen, noise.uniform(noise.keys(3, 5), shape))
    assert torch.equal(new[~chosen], x[~chosen])
    assert bool((new != x)[chosen].all())
    torch.testing.assert_close(log_densities.flatten(1).sum(dim=1), flow.log_prob(new))
    z, _, log_slopes = flow.encode_locally(new)
    torch.testing.assert_close(log_densities, flow.in_item_layout(flow.prior.log_density(z)) + log_slopes)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("place", [(0, 0), (2, 2), (3, 1)])
def test_draws_of_a_pixel_follow_its_conditional(small: flows.Flow, place: tuple[int, int], temperature: float) -> None:
    x, hidden, keys = known(place)
    climb = sample(small, x, hidden, keys, steps=24, temperature=temperature)
    grid = (torch.arange(4_000, dtype=torch.float64) + 0.5) / 4_000
    points = x[:1].repeat(4_000, 1, 1)
    points[:, place[0], place[1]] = grid
    cumulated = (small.log_prob(points) / temperature).softmax(dim=0).cumsum(dim=0)
    drawn = climb.x[:, place[0], place[1]].sort().values
    levels = cumulated[(drawn * 4_000).long()]
    expected = (torch.arange(CHAINS, dtype=torch.float64) + 0.5) / CHAINS
    assert float((levels - expected).abs().max()) < 2 / CHAINS**0.5, "Kolmogorov's test at 1 in 1,500"
    assert torch.equal(climb.x[~hidden], x[~hidden])
    torch.testing.assert_close(climb.log_prob, small.log_prob(climb.x))


def test_draws_of_two_pixels_have_the_moments_of_their_conditional(small: flows.Flow) -> None:
    x, hidden, keys = known((0, 0), (2, 2))
    climb = sample(small, x, hidden, keys, steps=60)
    # Much of the mass lies in the first and the last grey level, which are wide and flat modes of their own.
    ends = [(0, 1 / 256, 8), (1 / 256, 255 / 256, 50), (255 / 256, 1, 8)]
    edges = torch.cat([torch.linspace(a, b, n + 1, dtype=torch.float64)[:-1] for a, b, n in ends] + [torch.ones(1)])
    grid, widths = (edges[1:] + edges[:-1]) / 2, edges.diff()
    points = x[:1].repeat(len(grid) ** 2, 1, 1)
    points[:, 0, 0], points[:, 2, 2] = grid.repeat_interleave(len(grid)), grid.repeat(len(grid))
    areas = widths.repeat_interleave(len(grid)) * widths.repeat(len(grid))
    weights = (small.log_prob(points) + areas.log()).softmax(dim=0)
    both = torch.stack([points[:, 0, 0], points[:, 2, 2]])
    drawn = torch.stack([climb.x[:, 0, 0], climb.x[:, 2, 2]])
    mean = (both * weights).sum(dim=1)
    covariance = (both - mean[:, None]) * weights @ (both - mean[:, None]).T
    error = (covariance.diagonal() / CHAINS).sqrt()
    assert bool(((drawn.mean(dim=1) - mean).abs() < 4 * error).all())
    torch.testing.assert_close(drawn.cov(), covariance, rtol=0.25, atol=0.006)
    assert bool((climb.proposed == 30).all())
    assert 0.05 < float(climb.acceptance.mean()) < 1


@pytest.mark.parametrize("shape", [(8, 4), (4, 8, 3)])
def test_a_chain_goes_through_all_its_stages_and_knows_where_it_stands(shape: tuple[int, ...]) -> None:
    flow = disturb(flows.lattice(shape, width=6, blocks=1, components=3).double()).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, *shape, dtype=torch.float64, generator=generator)
    hidden = torch.rand(2, *shape, generator=generator) < 0.5
    hidden[:, 0, 0] = True
    climb = inpainting.start(
        flow,
        x,
        hidden,
        noise.keys(2, 2),
        survey=inpainting.survey(flow),
        method="langevin",
        steps=torch.tensor([20, 9]),
    )
    moved = 0
    while not bool(climb.done.all()):
        ahead = inpainting.step(flow, climb)
        torch.testing.assert_close(ahead.log_prob, flow.log_prob(ahead.x), msg=f"after step {ahead.step.tolist()}")
        moved += not torch.equal(ahead.state["point"], climb.state["point"])
        climb = ahead
    assert moved > 5
    assert torch.equal(climb.x[~hidden], x[~hidden])
    assert bool(climb.grad_norm.isnan().all()), "there is no gradient"
    assert bool((climb.x != x)[hidden].all())
    torch.testing.assert_close(climb.log_prob, flow.log_prob(climb.x))
    assert climb.proposed.tolist() == [10, 4]


def test_a_chain_is_its_own_and_its_keys(small: flows.Flow) -> None:
    x, hidden, keys = (each[:4] for each in known((0, 0), (1, 2), (3, 3)))
    together = sample(small, x, hidden, keys, steps=12)
    alone = sample(small, x[2:3], hidden[2:3], keys[2:3], steps=12)
    torch.testing.assert_close(alone.x[0], together.x[2], rtol=0, atol=1e-12)
    assert len({tuple(row.flatten().tolist()) for row in together.x}) == 4


@cache
def begun(*shape: int) -> Climb:
    """A climb whose windows are looked at."""
    x = torch.full((6, *shape), 0.5)
    flow = flows.lattice(shape, width=6, blocks=1)
    survey = inpainting.survey(flow)
    return inpainting.start(flow, x, x > 0, noise.keys(5, 6), survey=survey, method="langevin", steps=0)


def waiting(hidden: Tensor, step_size: float) -> Climb:
    """Six rows that ask for windows, hidden (6, *S)."""
    return replace(begun(*hidden.shape[1:]), hidden=hidden, step_size=torch.full((6,), step_size))


@given(seed=st.integers(0, 2**31), step_size=st.floats(0, 5), wide=st.booleans())
def test_a_window_is_a_square_around_a_hidden_pixel(seed: int, step_size: float, wide: bool) -> None:
    shape = (8, 12) if wide else (12, 8, 3)
    hidden = torch.rand(6, *shape, generator=torch.Generator().manual_seed(seed)) < 0.1
    hidden[:, 5, 6] = True
    climb = waiting(hidden, step_size)
    squares = window(climb, climb.hidden.double(), noise.keys(seed, 6))
    assert bool((squares & climb.hidden).flatten(1).any(dim=1).all())
    for square in squares.flatten(3).any(dim=3) if not wide else squares:
        rows, columns = square.any(dim=1), square.any(dim=0)
        assert torch.equal(square, rows[:, None] & columns)
        assert int(rows.sum()) <= max(1, round(step_size * 8))


@given(seed=st.integers(0, 2**31), step_size=st.floats(0, 2))
def test_tiles_lie_apart_each_in_a_cell_of_its_own(seed: int, step_size: float) -> None:
    squares, cells = tiles(waiting(torch.ones(6, 12, 16, dtype=torch.bool), step_size), noise.keys(seed, 6))
    assert int(cells.min()) >= 0
    assert int(cells.max()) < 12 * 16
    for square, numbers in zip(squares, cells, strict=True):
        # Pixels of squares that touch are of one cell.
        for axis in (0, 1):
            touching = square.narrow(axis, 1, square.shape[axis] - 1) & square.narrow(axis, 0, square.shape[axis] - 1)
            assert not bool(touching[numbers.diff(dim=axis) != 0].any())


def test_chance_is_spent_where_weights_are() -> None:
    climb = waiting(torch.ones(6, 8, 12, dtype=torch.bool), 0.01)
    weights = torch.zeros(6, 8, 12)
    weights[:, 3, 4], weights[:, 6, 1] = 3.0, 1.0
    squares = torch.cat([window(climb, weights, noise.keys(seed, 6)) for seed in range(50)])
    assert squares.sum() == 300, "of a pixel each"
    assert bool((squares[:, 3, 4] | squares[:, 6, 1]).all())
    assert 0.65 < float(squares[:, 3, 4].double().mean()) < 0.85


def test_a_row_whose_density_is_nan_stays_where_it_is(small: flows.Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    x, hidden, keys = (each[:3] for each in known((0, 0), (1, 2)))
    survey = inpainting.survey(small)
    climb = inpainting.start(small, x, hidden, keys, survey=survey, method="langevin", steps=8)
    original = small.redraw

    def broken(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        new, log_densities = original(*arguments)
        log_densities[1] = torch.nan
        return new, log_densities

    monkeypatch.setattr(small, "redraw", broken)
    climb = replace(climb, step=torch.full_like(climb.step, 4))
    ahead = inpainting.step(small, climb)
    assert torch.equal(ahead.x[1], climb.x[1])
    assert torch.equal(ahead.log_prob[1], climb.log_prob[1])
    assert bool(ahead.log_prob.isfinite().all())
