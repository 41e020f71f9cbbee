"""Rows of a table in a flow: dequantisation of columns with steps, and draws for missing entries."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import flows
from flows import Completion, Flow

CORRELATION = 0.9


def rows(count: int = 4000) -> Tensor:
    """Rows (N, 3): two correlated normal columns and one of integers that follows the first."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(count, generator=generator)
    second = CORRELATION * first + math.sqrt(1 - CORRELATION**2) * torch.randn(count, generator=generator)
    return torch.stack([first, second, (2 * first + torch.randn(count, generator=generator)).round()], dim=1)


@pytest.fixture(scope="module")
def fitted() -> Flow:
    """A flow that is exactly a normal distribution of whitened rows."""
    flow = flows.nice(
        (3,), couplings=1, hidden=[4], whitening="zca", prior="normal", image=False, steps=[0.0, 0.0, 1.0]
    )
    items = rows()
    flow.fit_completion(items)
    flow.initialise(flow.to_continuous(items))
    return flow


def test_columns_with_steps_get_noise_and_come_back_exactly(fitted: Flow) -> None:
    items = rows(100)
    x = fitted.to_continuous(items)
    assert torch.equal(x[:, :2], items[:, :2])
    assert bool(((x[:, 2] - items[:, 2]).abs() < 0.5).all())
    assert x[:, 2].sub(items[:, 2]).unique().numel() == 100
    assert torch.equal(fitted.to_items(x), items)


def test_a_rows_noise_follows_from_the_row_and_the_seed(fitted: Flow) -> None:
    items = rows(8)
    items[3, 1] = math.nan
    items[5, [0, 2]] = math.nan
    x = fitted.to_continuous(items)
    alone = torch.cat([fitted.to_continuous(item[None]) for item in items])
    assert torch.equal(x, alone)
    assert not torch.equal(x, fitted.to_continuous(items, seed=1))


def test_missing_entries_are_drawn_given_the_others(fitted: Flow) -> None:
    items = rows(2000)
    hidden = items.clone()
    hidden[:, 1] = math.nan
    drawn = fitted.to_continuous(hidden)[:, 1]
    assert bool(drawn.isfinite().all())
    # The draw has the mean and the spread of the entry given the others: so the row is like a complete one.
    correlation = torch.corrcoef(torch.stack([items[:, 0], drawn]))[0, 1]
    assert float(correlation) == pytest.approx(CORRELATION, abs=0.03)
    assert float(drawn.std()) == pytest.approx(float(items[:, 1].std()), rel=0.05)
    complete, completed = (fitted.log_prob(fitted.to_continuous(each)) for each in (items, hidden))
    assert float(completed.mean()) == pytest.approx(float(complete.mean()), abs=0.1)
    assert float(completed.std()) == pytest.approx(float(complete.std()), rel=0.15)


def test_a_row_without_any_entry_is_drawn_whole(fitted: Flow) -> None:
    x = fitted.to_continuous(torch.full((500, 3), math.nan) + torch.zeros(500, 1))
    assert bool(x.isfinite().all())
    assert fitted.log_prob(x).isfinite().all()


def test_log_q_of_a_completion_is_that_of_the_conditional_normal() -> None:
    completion, generator = Completion(3), torch.Generator().manual_seed(1)
    x = torch.randn(20_000, 3, generator=generator) @ torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]])
    completion.fit(x)
    one = x[:1].repeat(5000, 1)
    one[:, [0, 2]] = math.nan
    drawn, log_q = completion.draw(one, torch.randn(5000, 3, generator=generator))
    covariance = torch.cov(x.T)
    known, gone = [1], [0, 2]
    weights = covariance[gone][:, known] / covariance[1, 1]
    expected = torch.distributions.MultivariateNormal(
        (weights * x[0, 1]).flatten(), covariance[gone][:, gone] - weights @ covariance[known][:, gone]
    )
    assert torch.equal(drawn[:, 1], one[:, 1])
    assert torch.allclose(drawn[:, gone].mean(dim=0), expected.mean, atol=0.06)
    difference = log_q - expected.log_prob(drawn[:, gone])
    assert float(difference.mean()) == pytest.approx(0, abs=0.05)


def test_steps_and_levels_must_fit_the_items() -> None:
    for arguments in (
        {"steps": [1.0]},
        {"steps": [1.0, 0.0], "levels": [2]},
        {"steps": [-1.0, 0]},
        {"steps": [True, 0]},
    ):
        with pytest.raises(flows.ArchitectureError):
            flows.build("nice", (2,), {"image": False, **arguments})


@given(step=st.sampled_from([0.01, 0.25, 1.0, 5.0]), place=st.integers(-(2**22), 2**22), seed=st.integers(0, 2**31))
def test_a_value_of_a_grid_comes_back_however_large_it_is(step: float, place: int, seed: int) -> None:
    columns = flows.DequantiseColumns([step])
    x = columns.inverse(torch.tensor([[step * place]]))[0].expand(200, 1)
    noise = torch.rand(200, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(columns.inverse(columns(x, noise)[0])[0], x)


@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_an_entry_just_beyond_a_value_that_many_rows_have_is_no_far_one(size: float) -> None:
    """Half of the second column is 0: its lowest quantiles lie close together."""
    first = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
    completion = Completion(2)
    completion.fit(torch.cat([2 * first, size + first.clamp_min(0)], dim=1))
    known = torch.tensor([0.0, -0.01, -0.1, -1.0]) + size
    x = torch.stack([torch.full((4,), math.nan), known], dim=1)
    drawn, log_density = completion.draw(x, torch.zeros(4, 2))
    assert bool((drawn[:, 0].abs() < 10).all()), drawn
    assert bool(log_density.isfinite().all())
