"""Inpainting on flows whose conditional is known: with linear couplings and a normal prior the density is Gaussian."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import flows
from flows import inpainting, noise
from flows.inpainting import METHODS, Climb

DIMENSIONS = 6
HIDDEN = torch.tensor([True, False, True, True, False, False])
CLIMBERS = ["ascent", "map", "latent"]


def gaussian(image: bool = False, stretch: float = 1.0) -> flows.Flow:
    """A Gaussian with correlated entries, in float64. As an image (2, 3) it is centred at 1/2, a tenth wide."""
    generator = torch.Generator().manual_seed(3)
    couplings = []
    for parity in (0, 1):
        split = flows.EvenOdd(DIMENSIONS, parity)
        net = nn.Linear(split.kept, split.changed)
        nn.init.normal_(net.weight, std=0.5, generator=generator)
        nn.init.normal_(net.bias, std=0.0 if image else 0.5, generator=generator)
        couplings.append(flows.AdditiveCoupling(split, net))
    centre, scaling = flows.Centre(DIMENSIONS), flows.DiagonalScaling(DIMENSIONS)
    with torch.no_grad():
        centre.mean.fill_(0.5 if image else 3.0)
        scaling.log_scale.copy_(torch.linspace(0, stretch, DIMENSIONS) + (math.log(10) if image else 0))
    shape = (2, 3) if image else (DIMENSIONS,)
    flow = flows.Flow(
        shape,
        [flows.Flatten(shape), centre, *couplings, scaling],
        flows.StandardNormal((DIMENSIONS,)),
        flows.Dequantise() if image else None,
    )
    return flow.double()


def conditional(flow: flows.Flow, x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (H,) and covariance (H, H) of the hidden entries of x (D,), given the others."""
    origin = torch.zeros(1, *flow.item_shape, dtype=torch.float64)
    bias = flow.encode(origin)[0][0]
    jacobian = torch.autograd.functional.jacobian(lambda p: flow.encode(p)[0][0], origin).reshape(DIMENSIONS, -1)
    precision = jacobian.T @ jacobian
    mean = -torch.linalg.solve(jacobian, bias)
    covariance = torch.linalg.inv(precision[HIDDEN][:, HIDDEN])
    pull = precision[HIDDEN][:, ~HIDDEN] @ (x.flatten() - mean)[~HIDDEN]
    return mean[HIDDEN] - covariance @ pull, covariance


def rows(flow: flows.Flow, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, *S) from the flow, every row the same, hidden (B, *S) and keys (B,)."""
    x = flow.sample(1, torch.Generator().manual_seed(5)).expand(count, *flow.item_shape).detach().clone()
    return x, HIDDEN.reshape(flow.item_shape).expand_as(x), noise.keys(11, count)


def climb_to_the_end(flow: flows.Flow, climb: Climb) -> Climb:
    while not climb.done.all():
        climb = inpainting.step(flow, climb)
    return climb


def begin(flow: flows.Flow, x: Tensor, hidden: Tensor, keys: Tensor, **options: object) -> Climb:
    return inpainting.start(flow, x, hidden, keys, survey=inpainting.survey(flow), **options)


def inpaint(flow: flows.Flow, x: Tensor, hidden: Tensor, keys: Tensor, **options: object) -> Climb:
    options = {"steps": 200, **options}
    return climb_to_the_end(flow, begin(flow, x, hidden, keys, **options))


@pytest.mark.parametrize("method", CLIMBERS)
@pytest.mark.parametrize("image", [False, True])
def test_a_climb_ends_at_the_mean_of_a_gaussian_conditional(method: str, image: bool) -> None:
    flow = gaussian(image)
    x, hidden, keys = rows(flow, 3)
    mean, covariance = conditional(flow, x[0])
    climb = inpaint(flow, x, hidden, keys, method=method, steps=400)
    error = (climb.result()[hidden].reshape(3, -1) - mean).abs() / covariance.diagonal().sqrt()
    assert error.max() < 0.03
    assert (climb.best_log_prob >= flow.log_prob(x)).all()


def test_langevin_draws_have_the_mean_and_the_variance_of_the_conditional() -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 4000)
    mean, covariance = conditional(flow, x[0])
    climb = inpaint(flow, x, hidden, keys, method="langevin", steps=120)
    draws = climb.result()[hidden].reshape(4000, -1)
    spread = covariance.diagonal().sqrt()
    assert ((draws.mean(dim=0) - mean).abs() < 4 * spread / math.sqrt(4000)).all()
    assert torch.allclose(draws.T.cov(), covariance, atol=0.1 * float(spread.max()) ** 2)
    assert 0.4 < climb.acceptance.mean() < 0.75


@pytest.mark.parametrize("temperature", [0.25, 2.0])
def test_temperature_multiplies_the_variance_of_langevin_draws(temperature: float) -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 3000)
    _, covariance = conditional(flow, x[0])
    climb = inpaint(flow, x, hidden, keys, method="langevin", steps=120, temperature=temperature)
    variance = climb.result()[hidden].reshape(3000, -1).var(dim=0)
    assert torch.allclose(variance, temperature * covariance.diagonal(), rtol=0.12)


def test_langevin_draws_of_an_image_follow_the_conditional_within_its_bounds() -> None:
    flow = gaussian(image=True)
    x, _, keys = rows(flow, 4000)
    with torch.no_grad():
        flow.transforms.steps[1].mean.fill_(0.03)
    x.fill_(0.03)  # so that the conditional of the hidden pixel, a tenth wide, is cut in two by the bound at 0
    hidden = torch.zeros_like(x, dtype=torch.bool)
    hidden[:, 0, 0] = True
    levels = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    grid = x[:1].repeat(2000, 1, 1)
    grid[:, 0, 0] = levels
    weights = flow.log_prob(grid).detach().softmax(dim=0)
    mean = (weights * levels).sum()
    deviation = (weights * (levels - mean) ** 2).sum().sqrt()
    draws = inpaint(flow, x, hidden, keys, method="langevin", steps=120).result()[:, 0, 0]
    assert draws.min() >= 0
    assert draws.max() < 1
    assert abs(draws.mean() - mean) < 4 * deviation / math.sqrt(4000)
    assert abs(draws.std() / deviation - 1) < 0.06


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


@settings(max_examples=25, deadline=None)
@given(mask=st.lists(st.booleans(), min_size=DIMENSIONS, max_size=DIMENSIONS), seed=st.integers(0, 2**63))
def test_any_mask_keeps_what_is_known_and_never_ends_below_its_start(mask: list[bool], seed: int) -> None:
    flow = gaussian(image=True)
    x = rows(flow, 1)[0]
    hidden = torch.tensor(mask).reshape(x.shape)
    climb = inpaint(flow, x, hidden, noise.keys(seed, 1), steps=10)
    assert torch.equal(climb.result()[~hidden], x[~hidden])
    assert climb.best_log_prob >= climb.start_log_prob
    assert torch.allclose(flow.log_prob(climb.result()), climb.best_log_prob)


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_join_and_leave_change_nothing_for_their_neighbours(method: str) -> None:
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
    options = [{"steps": 5}, {"steps": 30, "step_size": 0.5}, {"steps": 30, "temperature": 4.0}]
    alone = [inpaint(flow, x, hidden, keys, **o) for o in options]
    together = climb_to_the_end(flow, Climb.cat([begin(flow, x, hidden, keys, **o) for o in options]))
    assert together.step.tolist() == [5, 30, 30]
    assert torch.allclose(together.result(), torch.cat([a.result() for a in alone]))
    assert len({float(value) for value in together.best_log_prob}) == 3


def test_a_done_row_stays_as_it_is_while_others_go_on() -> None:
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
def test_a_row_that_hides_nothing_is_done_at_once(method: str) -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    climb = begin(flow, x, torch.zeros_like(hidden), keys, method=method, steps=10)
    assert climb.done.all()
    assert climb.converged.all()
    assert torch.equal(climb.result(), x)
    assert torch.allclose(climb.best_log_prob, flow.log_prob(x))


def test_no_steps_give_the_starting_point_and_do_not_claim_to_have_converged() -> None:
    flow = gaussian()
    climb = begin(flow, *rows(flow, 2), steps=0)
    assert climb.done.all()
    assert not climb.converged.any()


@pytest.mark.parametrize("method", ["ascent", "map"])
def test_with_everything_hidden_the_climb_ends_at_the_mode_of_the_flow(method: str) -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    result = inpaint(flow, torch.full_like(x, torch.nan), torch.ones_like(hidden), keys, method=method).result()
    mode = flow.decode(torch.zeros(2, DIMENSIONS, dtype=torch.float64))[0]
    assert torch.allclose(result, mode, atol=0.02)


@pytest.mark.parametrize("method", ["ascent", "map"])
def test_a_climb_stops_early_once_nothing_is_left_to_gain(method: str) -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    climb = inpaint(flow, x, hidden, keys, method=method, steps=2000)
    assert climb.converged.all()
    assert (climb.step < 2000).all()
    mean, covariance = conditional(flow, x[0])
    assert ((climb.result()[0][HIDDEN] - mean).abs() < 0.05 * covariance.diagonal().sqrt()).all()


def test_the_raw_formula_of_the_paper_is_taken_to_the_letter() -> None:
    flow = gaussian(image=True)
    x, hidden, keys = rows(flow, 2)
    before = begin(flow, x, hidden, keys, method="nice", steps=3, step_size=1e-3)
    after = inpainting.step(flow, before)
    point = before.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(flow.log_prob(point).sum(), point)
    draws = noise.normal(noise.derive(keys, 0), x.shape[1:])
    expected = torch.where(hidden, (before.x + 1e-3 * 0.1 * (gradient + draws)).clamp(0, 1), x)
    assert torch.allclose(after.x, expected)


def test_a_stiff_flow_throws_the_raw_ascent_off_and_not_the_preconditioned_one() -> None:
    flow = gaussian(image=True, stretch=5.0)  # curvatures up to (10 e^5)^2, about 2e6
    x, hidden, keys = rows(flow, 4)
    raw = inpaint(flow, x, hidden, keys, method="nice")
    default = inpaint(flow, x, hidden, keys)
    assert (default.best_log_prob >= flow.log_prob(x)).all()
    assert (raw.log_prob < flow.log_prob(x) - 1000).all()


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
def test_equal_keys_give_equal_completions_and_other_keys_others_where_there_is_chance(
    method: str, chance: bool
) -> None:
    flow = gaussian()
    x, hidden, _ = rows(flow, 3)
    keys = noise.keys(1, 2)[[0, 1, 0]]
    result = inpaint(flow, x, hidden, keys, method=method, steps=20, step_size=0.1).result()
    assert torch.equal(result[0], result[2])
    assert torch.equal(result[0], result[1]) != chance


def test_a_temperature_of_zero_takes_all_chance_from_the_ascent() -> None:
    flow = gaussian()
    x, hidden, keys = rows(flow, 2)
    result = inpaint(flow, x, hidden, keys, steps=20, temperature=0.0).result()
    assert torch.equal(result[0], result[1])


def test_the_progress_of_a_climb_can_be_followed() -> None:
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


def test_the_unit_of_a_vector_is_its_own_so_that_its_scale_changes_nothing() -> None:
    flow, large = gaussian(), gaussian()
    with torch.no_grad():
        large.transforms.steps[-1].log_scale -= math.log(1000)
        for coupling in list(large.transforms.steps)[2:4]:
            coupling.net.bias *= 1000
        large.transforms.steps[1].mean *= 1000
    x, hidden, keys = rows(flow, 2)
    small = inpaint(flow, x, hidden, keys, steps=60)
    scaled = inpaint(large, 1000 * x, hidden, keys, steps=60)
    assert torch.allclose(scaled.result(), 1000 * small.result(), rtol=1e-4)


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
def test_a_bad_request_is_refused_with_what_is_wrong(change: dict[str, object], error: type, says: str) -> None:
    flow = gaussian(image=True)
    x, hidden, keys = rows(flow, 2)
    arguments = {"x": x, "hidden": hidden, "keys": keys, "steps": 3, **change}
    with pytest.raises(error, match=says):
        begin(flow, **arguments)


def test_climbs_of_different_methods_do_not_batch() -> None:
    flow = gaussian()
    climb = begin(flow, *rows(flow, 1), steps=3)
    with pytest.raises(flows.FlowError, match="different methods"):
        Climb.cat([climb, replace(climb, method="map")])


def test_every_method_says_what_it_does() -> None:
    assert all(name == method.name and method.__doc__ for name, method in METHODS.items())
    assert {"ascent", "nice", "map", "langevin", "latent"} <= METHODS.keys()
