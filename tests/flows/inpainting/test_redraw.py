"""Redraw: its draws follow the conditional of a flow with sharp modes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import flows
from flows import inpainting, noise
from flows.architectures.lattice_flow import LatticeFlow
from flows.inpainting import Climb
from tests.flows.cases import disturb

CHAINS = 600


@pytest.fixture
def small() -> LatticeFlow:
    """A flow of sixteen pixels in float64, each of which depends on those before it."""
    flow = disturb(flows.lattice((4, 4), width=6, blocks=1, components=3).double()).requires_grad_(False)
    assert isinstance(flow, LatticeFlow)
    return flow


@pytest.fixture
def served(small: LatticeFlow) -> LatticeFlow:
    """The same flow in float32, in which it serves: convolutions take a third of the time."""
    return deepcopy(small).float()


def known(*hidden: tuple[int, int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """x (CHAINS, 4, 4), the same for every chain, the hidden entries (CHAINS, 4, 4), and keys (CHAINS,)."""
    x = torch.rand(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).to(dtype)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    for place in hidden:
        mask[place] = True
    return x.expand(CHAINS, 4, 4), mask.expand(CHAINS, 4, 4), noise.keys(7, CHAINS)


def sample(flow: flows.Flow, x: Tensor, hidden: Tensor, keys: Tensor, *, steps: int, temperature: float = 1.0) -> Climb:
    survey = inpainting.survey(flow)
    climb = inpainting.start(
        flow, x, hidden, keys, survey=survey, method="langevin", steps=steps, temperature=temperature
    )
    while not bool(climb.done.all()):
        climb = inpainting.step(flow, climb)
    return climb


@pytest.mark.parametrize("shape", [(8, 12), (4, 8, 3)])
def test_redraw_leaves_other_entries_unchanged_and_gives_every_log_density(shape: tuple[int, ...]) -> None:
    flow = disturb(flows.lattice(shape, width=6, blocks=1, components=3).double()).requires_grad_(False)
    assert isinstance(flow, LatticeFlow)
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


@pytest.mark.parametrize(("place", "temperature"), [((0, 0), 1.0), ((2, 2), 0.5), ((3, 1), 2.0)])
def test_draws_of_a_pixel_follow_its_conditional(
    served: LatticeFlow, place: tuple[int, int], temperature: float
) -> None:
    x, hidden, keys = known(place, dtype=torch.float32)
    climb = sample(served, x, hidden, keys, steps=24, temperature=temperature)
    grid = (torch.arange(4_000) + 0.5) / 4_000
    points = x[:1].repeat(4_000, 1, 1)
    points[:, place[0], place[1]] = grid
    cumulated = (served.log_prob(points).double() / temperature).softmax(dim=0).cumsum(dim=0)
    drawn = climb.x[:, place[0], place[1]].sort().values
    levels = cumulated[(drawn * 4_000).long().clamp(max=3_999)]
    expected = (torch.arange(CHAINS, dtype=torch.float64) + 0.5) / CHAINS
    assert float((levels - expected).abs().max()) < 2 / CHAINS**0.5, "Kolmogorov's test at 1 in 1,500"
    assert torch.equal(climb.x[~hidden], x[~hidden])
    torch.testing.assert_close(climb.log_prob, served.log_prob(climb.x), atol=1e-4, rtol=1e-5)


def test_draws_of_two_pixels_have_the_moments_of_their_conditional(served: LatticeFlow) -> None:
    x, hidden, keys = known((0, 0), (2, 2), dtype=torch.float32)
    climb = sample(served, x, hidden, keys, steps=60)
    # Much of the mass is in the first and the last grey level, which have flat components of their own.
    ends = [(0, 1 / 256, 8), (1 / 256, 255 / 256, 50), (255 / 256, 1, 8)]
    edges = torch.cat([torch.linspace(a, b, n + 1)[:-1] for a, b, n in ends] + [torch.ones(1)])
    grid, widths = (edges[1:] + edges[:-1]) / 2, edges.diff()
    points = x[:1].repeat(len(grid) ** 2, 1, 1)
    points[:, 0, 0], points[:, 2, 2] = grid.repeat_interleave(len(grid)), grid.repeat(len(grid))
    areas = widths.repeat_interleave(len(grid)) * widths.repeat(len(grid))
    weights = (served.log_prob(points) + areas.log()).double().softmax(dim=0)
    both = torch.stack([points[:, 0, 0], points[:, 2, 2]]).double()
    drawn = torch.stack([climb.x[:, 0, 0], climb.x[:, 2, 2]]).double()
    mean = (both * weights).sum(dim=1)
    covariance = (both - mean[:, None]) * weights @ (both - mean[:, None]).T
    error = (covariance.diagonal() / CHAINS).sqrt()
    assert bool(((drawn.mean(dim=1) - mean).abs() < 4 * error).all())
    torch.testing.assert_close(drawn.cov(), covariance, rtol=0.25, atol=0.006)
    assert bool((climb.proposed == 30).all())
    assert 0.05 < float(climb.acceptance.mean()) < 1


@pytest.mark.parametrize("shape", [(8, 4), (4, 8, 3)])
def test_a_chain_passes_all_phases_and_reports_the_log_likelihood_of_its_point(shape: tuple[int, ...]) -> None:
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


def test_a_chain_depends_on_its_own_row_and_key_alone(small: LatticeFlow) -> None:
    x, hidden, keys = (each[:4] for each in known((0, 0), (1, 2), (3, 3)))
    together = sample(small, x, hidden, keys, steps=12)
    alone = sample(small, x[2:3], hidden[2:3], keys[2:3], steps=12)
    torch.testing.assert_close(alone.x[0], together.x[2], rtol=0, atol=1e-12)
    assert len({tuple(row.flatten().tolist()) for row in together.x}) == 4


def test_a_row_whose_density_is_nan_keeps_its_point(small: LatticeFlow, monkeypatch: pytest.MonkeyPatch) -> None:
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
