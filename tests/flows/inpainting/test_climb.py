"""Rows of a climb are independent: they join, leave, finish and fail alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

import flows
from flows import inpainting, noise
from flows.inpainting import METHODS, Climb
from tests.flows.inpainting.gaussian import (
    Options,
    begin,
    climb_to_the_end,
    gaussian,
    inpaint,
    rows,
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("image", [False, True])
def test_known_entries_come_back_bit_for_bit(method: str, image: bool) -> None:
    flow = gaussian(image)
    x, hidden, keys = rows(flow, 4)
    damaged = torch.where(hidden, torch.nan, x)
    result = inpaint(flow, damaged, hidden, keys, method=method, steps=12).result()
    assert torch.equal(result[~hidden], x[~hidden])
    assert result.isfinite().all()
    assert not image or bool(((result >= 0) & (result < 1))[hidden].all())


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_join_or_leave_do_not_change_other_rows(method: str) -> None:
    flow = gaussian(image=True)
    x, hidden, keys = rows(flow, 5)
    x = flow.sample(5, torch.Generator().manual_seed(7)).detach().clamp(0, 0.99)
    alone = [inpaint(flow, x[i : i + 1], hidden[i : i + 1], keys[i : i + 1], method=method, steps=16) for i in range(5)]

    batch = begin(flow, x[:3], hidden[:3], keys[:3], method=method, steps=16)
    for _ in range(5):
        batch = inpainting.step(flow, batch)
    late = begin(flow, x[3:], hidden[3:], keys[3:], method=method, steps=16)
    batch = Climb.cat([late, batch.select([2, 0])])  # row 1 leaves
    batch = climb_to_the_end(flow, batch)

    for place, row in enumerate([3, 4, 2, 0]):
        assert torch.allclose(batch.result()[place], alone[row].result()[0], atol=1e-9)
        assert batch.step[place] == alone[row].step[0]
        assert torch.allclose(batch.acceptance[place], alone[row].acceptance[0])


def test_rows_keep_their_own_steps_step_sizes_and_temperatures_in_one_batch() -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 1)
    chosen: list[tuple[int, Options]] = [(5, {}), (30, {"step_size": 0.5}), (30, {"temperature": 4.0})]
    alone = [inpaint(flow, x, hidden, keys, steps=n, **options) for n, options in chosen]
    together = Climb.cat([begin(flow, x, hidden, keys, steps=n, **options) for n, options in chosen])
    together = climb_to_the_end(flow, together)
    assert together.step.tolist() == [5, 30, 30]
    assert torch.allclose(together.result(), torch.cat([a.result() for a in alone]))
    assert len({float(value) for value in together.best_log_prob}) == 3


def test_a_done_row_stays_unchanged_while_others_go_on() -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    climb = Climb.cat(
        [begin(flow, x[i : i + 1], hidden[i : i + 1], keys[i : i + 1], steps=n) for i, n in enumerate((1, 9))]
    )
    first = inpainting.step(flow, climb)
    second = inpainting.step(flow, first)
    assert first.done.tolist() == [True, False]
    assert torch.equal(second.x[0], first.x[0])
    assert second.step.tolist() == [1, 2]
    assert not torch.equal(second.x[1], first.x[1])


@pytest.mark.parametrize("method", METHODS)
def test_a_row_without_hidden_entries_is_done_at_once(method: str) -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    climb = begin(flow, x, torch.zeros_like(hidden), keys, method=method, steps=10)
    assert climb.done.all()
    assert climb.converged.all()
    assert torch.equal(climb.result(), x)
    assert torch.allclose(climb.best_log_prob, flow.log_prob(x))


def test_zero_steps_give_the_initial_point_and_no_convergence() -> None:
    flow = gaussian()
    climb = begin(flow, *rows(flow, 2), steps=0)
    assert climb.done.all()
    assert not climb.converged.any()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_inside_inference_mode_and_leaves_the_weights_without_gradient(method: str) -> None:
    flow = gaussian()
    with torch.inference_mode():
        x, hidden, keys = rows(flow, 2)
        inside = inpaint(flow, x, hidden, keys, method=method, steps=6)
    outside = inpaint(flow, x.clone(), hidden.clone(), keys.clone(), method=method, steps=6)
    assert torch.equal(inside.result(), outside.result())
    assert not outside.result().requires_grad
    assert all(p.grad is None for p in flow.parameters())


@pytest.mark.parametrize(("method", "chance"), [("ascent", True), ("langevin", True), ("nice", True), ("map", False)])
def test_equal_keys_give_equal_completions_and_other_keys_others_if_the_method_is_random(
    method: str, chance: bool
) -> None:
    flow = gaussian()
    x, hidden, _ = rows(flow, 3)
    keys = noise.keys(1, 2)[[0, 1, 0]]
    result = inpaint(flow, x, hidden, keys, method=method, steps=20, step_size=0.1).result()
    assert torch.equal(result[0], result[2])
    assert torch.equal(result[0], result[1]) != chance


def test_a_climb_reports_log_likelihood_and_gradient_norm_at_every_step() -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    climb = begin(flow, x, hidden, keys, steps=300)
    assert torch.allclose(climb.log_prob, flow.log_prob(climb.x))
    first = climb.grad_norm
    climb = climb_to_the_end(flow, climb)
    assert torch.allclose(climb.log_prob, flow.log_prob(climb.x))
    assert (climb.best_log_prob > climb.start_log_prob).all()
    assert (climb.grad_norm < first / 10).all()
    assert torch.equal(climb.acceptance, torch.ones(2))


def test_a_row_whose_density_overflows_stays_finite_and_its_neighbours_go_on() -> None:
    flow = gaussian(stretch=5.0)
    x, hidden, keys = rows(flow, 2)
    wild = begin(flow, x[:1], hidden[:1], keys[:1], method="nice", steps=300, step_size=1e300)
    tame = begin(flow, x[1:], hidden[1:], keys[1:], method="nice", steps=300, step_size=1e-5)
    climb = climb_to_the_end(flow, Climb.cat([wild, tame]))
    assert climb.x.isfinite().all()
    assert climb.log_prob.isfinite().all()
    assert climb.best_log_prob[1] > climb.start_log_prob[1]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"method": "descent"}, flows.FlowError, "ascent"),
        ({"steps": -1}, flows.FlowError, "steps"),
        ({"temperature": -0.1}, flows.FlowError, "temperature"),
        ({"step_size": math.nan}, flows.FlowError, "step_size"),
        ({"x": torch.zeros(2, 5, dtype=torch.float64)}, flows.ShapeMismatch, "expected"),
        ({"hidden": torch.ones(1, 2, 3, dtype=torch.bool)}, flows.ShapeMismatch, "hidden"),
        ({"keys": noise.keys(0, 3)}, flows.ShapeMismatch, "keys"),
        ({"x": torch.full((2, 2, 3), torch.nan, dtype=torch.float64)}, flows.InputOutsideDomain, "known"),
        ({"x": torch.full((2, 2, 3), 1.5, dtype=torch.float64)}, flows.InputOutsideDomain, "known"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict[str, object], error: type, says: str) -> None:
    flow = gaussian(image=True)
    x, hidden, keys = rows(flow, 2)
    arguments: dict[str, Any] = {"x": x, "hidden": hidden, "keys": keys, "steps": 3, **change}
    with pytest.raises(error, match=says):
        begin(flow, **arguments)


def test_climbs_of_different_methods_cannot_be_joined() -> None:
    flow = gaussian()
    climb = begin(flow, *rows(flow, 1), steps=3)
    with pytest.raises(flows.FlowError, match="different methods"):
        Climb.cat([climb, replace(climb, method="map")])


def test_every_method_has_its_name_and_a_docstring() -> None:
    assert all(name == method.name and method.__doc__ for name, method in METHODS.items())
    assert {"ascent", "nice", "map", "langevin", "latent"} <= METHODS.keys()
