"""Tests that every flow must pass."""

from __future__ import annotations

import math

import pytest
import torch

import flows
from tests.conftest import Digits
from tests.flows.cases import FLOWS, FlowCase, disturb

every_flow = pytest.mark.parametrize("case", FLOWS.values(), ids=FLOWS.keys())
planes = {name: case for name, case in FLOWS.items() if case.item_shape == (2,)}


@every_flow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decode_undoes_encode(case: FlowCase, dtype: torch.dtype) -> None:
    flow, x = disturb(case.make().to(dtype)), case.points().to(dtype)
    tolerance = case.round_trip if dtype == torch.float32 else 1e-7 * case.round_trip
    z, there = flow.encode(x)
    back, here = flow.decode(z)
    torch.testing.assert_close(back, x, atol=tolerance, rtol=0)
    torch.testing.assert_close(there, -here, atol=10 * tolerance, rtol=0)


@every_flow
def test_log_determinant_is_that_of_the_jacobian(case: FlowCase) -> None:
    flow, x = disturb(case.make().double()), case.points()
    size = flow.dimensions
    for row, claimed in zip(x, flow.encode(x)[1], strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow.encode(v[None])[0][0], row).reshape(size, size)
        assert abs(torch.linalg.slogdet(jacobian).logabsdet - claimed) < 1e-8


@every_flow
def test_log_prob_is_the_prior_plus_the_log_determinant_for_each_item(case: FlowCase) -> None:
    flow, x = disturb(case.make().double()), case.points()
    z, log_abs_det = flow.encode(x)
    log_prob = flow.log_prob(x)
    assert log_prob.shape == (len(x),)
    torch.testing.assert_close(log_prob, flow.prior.log_prob(z) + log_abs_det)
    torch.testing.assert_close(flow(x), log_prob)


@every_flow
def test_shares_of_the_log_determinant_sum_to_it(case: FlowCase) -> None:
    flow, x = disturb(case.make().double()), case.points()
    z, log_abs_det, shares = flow.encode_locally(x)
    assert shares.shape == x.shape
    torch.testing.assert_close((z, log_abs_det), flow.encode(x))
    torch.testing.assert_close(shares.flatten(1).sum(dim=1), log_abs_det)
    with pytest.raises(flows.ShapeMismatch):
        flow.encode_locally(x[:, :-1])


@every_flow
def test_every_parameter_gets_a_gradient(case: FlowCase) -> None:
    flow = disturb(case.make().double())
    (-flow.log_prob(case.points()).mean()).backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@every_flow
def test_a_saved_state_restores_the_density(case: FlowCase) -> None:
    flow, x = disturb(case.make().double()), case.points()
    other = case.make().double()
    other.load_state_dict(flow.state_dict())
    torch.testing.assert_close(other.log_prob(x), flow.log_prob(x), atol=0, rtol=0)


@every_flow
def test_samples_are_items_and_follow_the_generator(case: FlowCase) -> None:
    flow = disturb(case.make())
    first, again, other = (flow.sample(6, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert first.shape == (6, *case.item_shape)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    few = flow.sample(2, torch.Generator().manual_seed(3))
    torch.testing.assert_close(few, first[:2], atol=1e-5, rtol=1e-5)
    assert flow.to_items(first).dtype == (torch.uint8 if flow.is_image else torch.float32)


@pytest.mark.parametrize("case", planes.values(), ids=planes.keys())
def test_the_density_of_a_plane_integrates_to_one(case: FlowCase) -> None:
    flow = disturb(case.make().double(), 0.1)
    axis = torch.linspace(-30, 30, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = sum(flow.log_prob(part).exp().sum().item() for part in grid.split(200_000))
    assert mass * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1, abs=1e-3)


def test_samples_of_a_plane_have_the_moments_of_its_density() -> None:
    flow = disturb(planes["nice-plane-normal"].make().double())
    axis = torch.linspace(-12, 12, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        weight = flow.log_prob(grid).exp() * (axis[1] - axis[0]) ** 2
        x = flow.sample(40_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mean(dim=0), (grid * weight[:, None]).sum(dim=0), atol=0.03, rtol=0)
    torch.testing.assert_close(x.square().mean(dim=0), (grid.square() * weight[:, None]).sum(dim=0), atol=0.1, rtol=0)


def test_temperature_shrinks_the_latents() -> None:
    flow = disturb(FLOWS["nice-vector"].make())
    cold = flow.encode(flow.sample(500, torch.Generator().manual_seed(0), temperature=0.1))[0]
    warm = flow.encode(flow.sample(500, torch.Generator().manual_seed(0)))[0]
    torch.testing.assert_close(cold, 0.1 * warm, atol=1e-4, rtol=1e-3)


def test_data_dependent_initialisation_fits_real_digits(digits: Digits) -> None:
    flow = flows.nice((28, 28), hidden=[32])
    x = flow.to_continuous(digits.train)
    before = flow.log_prob(x).mean()
    flow.initialise(x)
    z, _ = flow.encode(x)
    assert flow.log_prob(x).mean() > before + 1000
    torch.testing.assert_close(z.std(dim=0), torch.full((784,), flow.prior.std), rtol=1e-3, atol=1e-3)


def test_an_item_gets_the_same_point_at_any_place_in_a_batch_and_in_any_format(digits: Digits) -> None:
    flow = flows.nice((28, 28), hidden=[8])
    batch = flow.to_continuous(digits.test, seed=5)
    for row in (0, 17, 499):
        assert torch.equal(flow.to_continuous(digits.test[row : row + 1], seed=5)[0], batch[row])
    assert torch.equal(flow.to_continuous(digits.test.float() / 255, seed=5), batch), "k/255 is the level k"
    assert torch.equal(flow.to_continuous(batch, seed=5), batch), "(k + u)/256 is the level k"
    assert torch.equal(flow.to_items(batch), digits.test)
    assert not torch.equal(flow.to_continuous(digits.test, seed=6), batch)


@pytest.mark.parametrize("bad", [1.5, -0.01, math.nan, math.inf])
def test_pixels_outside_the_unit_interval_are_a_typed_error(bad: float) -> None:
    flow = flows.nice((2, 2), hidden=[8])
    with pytest.raises(flows.InputOutsideDomain):
        flow.to_continuous(torch.tensor([[[0.5, bad], [0, 1]]]))


def test_wrong_item_shapes_are_a_typed_error() -> None:
    flow = flows.nice((2, 2), hidden=[8])
    for call in (flow.log_prob, flow.encode, flow.decode, flow.to_continuous):
        with pytest.raises(flows.ShapeMismatch):
            call(torch.zeros(1, 2, 3))


def test_bits_per_dim_is_that_of_the_papers() -> None:
    """RealNVP's and NICE's tables agree on it: 0 nats over [0, 1] pixels is 8 bits; 1980.50 nats on MNIST is 4.36."""
    assert flows.bits_per_dim(0.0, 784) == 8
    assert flows.bits_per_dim(1980.50, 784) == pytest.approx(4.356, abs=1e-3)


def test_the_papers_preset_is_the_default() -> None:
    with torch.device("meta"):
        flow = flows.nice((28, 28))
    couplings = [t for t in flow.transforms if isinstance(t, flows.AdditiveCoupling)]
    assert len(couplings) == 4
    net = couplings[0].net
    assert isinstance(net, flows.MLP)
    assert [layer.out_features for layer in net.layers if isinstance(layer, torch.nn.Linear)] == [*[1000] * 5, 392]
    assert isinstance(flow.prior, flows.StandardLogistic)
    assert [c.split.parity for c in couplings] == [0, 1, 0, 1]


def test_shapes_other_than_images_are_a_typed_error() -> None:
    for name in ("realnvp", "glow"):
        with pytest.raises(flows.FlowError, match="image"):
            flows.build(name, (8,), {})
    with pytest.raises(flows.ShapeMismatch, match="two dimensions"):
        flows.build("realnvp", (1,), {"image": False})


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_an_image_flow_scores_real_digits_higher_than_noise(name: str, digits: Digits) -> None:
    hidden = {"realnvp": {"couplings": 1, "hidden": [8]}, "glow": {"steps": 2, "hidden": [8], "levels": 2}}[name]
    flow = flows.build(name, (28, 28), hidden)
    flow.initialise(flow.to_continuous(digits.train[:200]))
    with torch.no_grad():
        likely = flow.log_prob(flow.to_continuous(digits.test[:100])).mean()
        noise = flow.log_prob(torch.rand(100, 28, 28)).mean()
        z, _ = flow.encode(flow.to_continuous(digits.train[:200]))
    torch.testing.assert_close(z.std(dim=0), torch.ones(784), rtol=1e-3, atol=1e-3)
    assert likely > noise + 1000


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_an_items_density_does_not_depend_on_its_neighbours(name: str) -> None:
    flow = disturb(FLOWS[f"{name}-image"].make())
    x = torch.rand(6, 4, 4)
    alone = torch.cat([flow.log_prob(row[None]) for row in x])
    torch.testing.assert_close(alone, flow.train().log_prob(x), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nice", {"hidden": [8]}),
        ("lattice", {"width": 8, "blocks": 1}),
        ("realnvp", {"hidden": [8], "levels": 3}),
        ("glow", {"hidden": [8], "steps": 1, "levels": 2}),
    ],
)
@pytest.mark.parametrize("shape", [(16, 24), (16, 24, 3)])
def test_every_latent_is_put_at_the_place_of_its_pixel(
    name: str, arguments: dict[str, object], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    flow = flows.build(name, shape, arguments).requires_grad_(False)
    places = flow.in_item_layout(torch.arange(float(flow.dimensions)).reshape(1, *flow.prior.shape))
    assert places.shape == (1, *shape)
    assert places.flatten().sort().values.tolist() == list(range(flow.dimensions)), "each latent once"
    x = flow.to_continuous(torch.randint(0, 256, (1, *shape), dtype=torch.uint8))
    for pixel in ((0, 0), (5, 7), (15, 22)):
        other = x.clone()
        other[:, *pixel] = 1 - other[:, *pixel]
        moved = (flow.in_item_layout(flow.encode(other)[0]) - flow.in_item_layout(flow.encode(x)[0])).abs()
        assert bool((moved[:, *pixel] > 0).any()), pixel
