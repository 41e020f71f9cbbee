"""The lattice flow: the order of its pixels, its domain, its sharp modes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import pixel_unshuffle

import flows
from flows import LatticeLevel, inpainting, noise
from flows.architectures.lattice_flow import LatticeFlow
from flows.nets.lattice_net import CellNet
from flows.transforms.lattice_cells import CELL, groups_by_level, least_side
from tests.flows.cases import disturb

SMALL: dict[str, Any] = {"width": 6, "blocks": 1, "components": 3}


def small(*shape: int) -> LatticeFlow:
    flow = disturb(flows.lattice(shape, **SMALL).double())
    assert isinstance(flow, LatticeFlow)
    return flow


@pytest.mark.parametrize("shape", [(4, 4), (8, 12), (28, 28), (8, 8, 3)])
def test_every_pixel_is_in_one_group_that_knows_only_the_groups_before(shape: tuple[int, ...]) -> None:
    levels = [step for step in flows.lattice(shape, **SMALL).transforms if isinstance(step, LatticeLevel)]
    seen = pixel_unshuffle(torch.zeros_like(levels[0].groups.known[0]), 4)
    for level in reversed(levels):
        for known, group, channel in zip(level.groups.known, level.groups.masks, level.groups.channels, strict=True):
            assert torch.equal(pixel_unshuffle(known, 4), seen)
            assert not seen[channel][group].any()
            seen = seen.clone()
            seen[channel] |= group
    assert bool(seen.all())


def test_a_latent_depends_on_no_later_pixel() -> None:
    flow = small(8, 8)
    x = torch.rand(1, 8, 8, dtype=torch.float64)
    last = x.clone()
    last[0, 3, 0] = 1 - x[0, 3, 0]  # a pixel of the last lattice
    moved = (flow.encode(x)[0] != flow.encode(last)[0]).sum()
    assert moved == 1
    first = x.clone()
    first[0, 0, 0] = 1 - x[0, 0, 0]
    assert (flow.encode(x)[0] != flow.encode(first)[0]).sum() > 30


@pytest.mark.parametrize(("head_layers", "interpolate"), [(1, False), (3, False), (2, True)])
def test_colours_of_a_joint_pass_depend_on_the_colours_before_only(head_layers: int, interpolate: bool) -> None:
    given = {**SMALL, "joint": True, "head_layers": head_layers, "interpolate": interpolate}
    flow = disturb(flows.lattice((8, 8, 3), **given).double())
    x = torch.rand(1, 8, 8, 3, dtype=torch.float64)
    z = flow.in_item_layout(flow.encode(x)[0])
    for colour in range(3):
        other = x.clone()
        other[0, 3, 0, colour] = 1 - x[0, 3, 0, colour]  # a pixel of the last lattice
        moved = (flow.in_item_layout(flow.encode(other)[0]) != z)[0].any(dim=(0, 1))
        assert moved.tolist() == [colour <= later for later in range(3)]


def test_divisions_of_the_first_lattice_draw_its_first_pixels_one_by_one() -> None:
    for quartered, sizes in ((1, [16] * 4), (2, [4] * 4 + [16] * 3), (3, [1] * 4 + [4] * 3 + [16] * 3)):
        groups = next(groups_by_level((CELL**2, 8, 8), quartered))
        assert groups.flatten(1).sum(dim=1).tolist() == sizes
        assert groups.sum(dim=0).equal(next(groups_by_level((CELL**2, 8, 8))).sum(dim=0)), "each pixel is in one group"
    with pytest.raises(flows.ArchitectureError, match="quartered: 3 divisions need sides of at least 20 pixels"):
        flows.lattice((28, 16), **SMALL, quartered=3)
    for quartered, side in ((1, 8), (2, 12), (3, 20)):
        cells = side // CELL
        assert least_side(quartered) == side
        assert len(next(groups_by_level((CELL**2, cells, cells), quartered))) == 1 + 3 * quartered


@pytest.mark.parametrize("colours", [(), (3,)])
@pytest.mark.parametrize("anywhere", [False, True])
def test_interpolation_expects_the_mean_of_the_nearest_pixels_at_first(
    colours: tuple[int, ...], anywhere: bool
) -> None:
    flow = flows.lattice((16, 16, *colours), **SMALL, joint=True, interpolate=True, anywhere=anywhere, quartered=2)
    ramp = torch.arange(16)[:, None] + 2.0 * torch.arange(16)
    picture = (ramp / 256 + 0.4).reshape(16, 16, *[1] * len(colours)).expand(flow.item_shape)
    tint = torch.tensor([0.0, 0.03, 0.1]) if colours else 0.0
    cells, *levels, _ = flow.transforms
    x = cells((picture + tint)[None])[0]
    for level in levels[:3]:
        assert isinstance(level, LatticeLevel)
        found = level.mixture(x)._mean[:, 1]  # the middle one of three
        inner = level.groups.own(x)[:, 1:-1, 1:-1]
        error = (found[:, 1:-1, 1:-1] - inner).abs()[level.groups.masks[:, 1:-1, 1:-1]]
        assert error.max() < 2 / 256


@pytest.mark.parametrize("joint", [False, True])
def test_a_stepped_flow_takes_no_notice_of_what_dequantisation_adds(joint: bool) -> None:
    flow = disturb(flows.lattice((8, 8, 3), **SMALL, joint=joint, interpolate=joint, stepped=True).double())
    items = torch.randint(0, 256, (3, 8, 8, 3), generator=torch.Generator().manual_seed(1))
    first, second = (flow.to_continuous(items, seed) for seed in (0, 1))
    assert not torch.equal(first, second)
    assert torch.allclose(flow.log_prob(first), flow.log_prob(second), rtol=1e-9)
    z, _ = flow.encode(first)
    assert not torch.allclose(z, flow.encode(second)[0])
    assert torch.equal(flow.to_items(flow.decode(z)[0]), items.double())

    chosen, uniform = torch.ones(first.shape, dtype=torch.bool), torch.rand(first.shape, dtype=torch.float64)
    drawn, log_densities = flow.redraw(first, chosen, uniform)  # type: ignore[operator]
    rounded = flow.to_continuous(flow.to_items(drawn), 7)
    assert torch.allclose(flow.log_prob(rounded), log_densities.flatten(1).sum(dim=1), rtol=1e-9)


def test_the_smoothed_log_likelihood_of_a_stepped_flow_still_points_to_modes() -> None:
    flow = disturb(flows.lattice((8, 8), **SMALL, joint=True, stepped=True).double()).requires_grad_(False)
    assert isinstance(flow, LatticeFlow)
    x = torch.rand(2, 8, 8, dtype=torch.float64, requires_grad=True)
    log_prob, smoothed = flow.smoothed_log_prob(x, torch.full((2,), 0.05, dtype=torch.float64))
    assert torch.allclose(log_prob, flow.log_prob(x), rtol=1e-9)
    (gradient,) = torch.autograd.grad(smoothed.sum(), x)
    assert bool((gradient != 0).all())
    with torch.no_grad():
        ahead = flow.smoothed_log_prob(x + 1e-3 * gradient.sign(), torch.full((2,), 0.05, dtype=torch.float64))[1]
    assert bool((ahead > smoothed).all())


def test_interpolation_needs_a_joint_flow() -> None:
    with pytest.raises(flows.ArchitectureError, match="interpolate: only a joint"):
        flows.lattice((8, 8, 3), **SMALL, interpolate=True)


def test_layers_of_heads_need_a_joint_flow() -> None:
    with pytest.raises(flows.ArchitectureError, match="head_layers"):
        flows.lattice((8, 8, 3), **SMALL, head_layers=2)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-30, 1 / 256, 255 / 256, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_images_have_a_finite_likelihood(value: float, dtype: torch.dtype) -> None:
    flow = small(4, 4).to(dtype)
    assert bool(flow.log_prob(torch.full((1, 4, 4), value, dtype=dtype)).isfinite().all())


@pytest.mark.parametrize("bad", [-0.1, 1.5, 1e4, math.nan, math.inf])
def test_values_outside_the_unit_interval_are_a_typed_error(bad: float) -> None:
    x = torch.full((2, 4, 4), 0.5, dtype=torch.float64)
    x[1, 2, 3] = bad
    with pytest.raises(flows.InputOutsideDomain):
        small(4, 4).log_prob(x)


@pytest.mark.parametrize("shape", [(6, 8), (8, 6), (16,), (4, 4, 3, 2)])
def test_sides_that_are_not_multiples_of_four_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(flows.ArchitectureError, match="multiples of 4"):
        flows.build("lattice", shape, {})


def test_smoothing_widens_modes_until_the_density_is_flat() -> None:
    flow = small(4, 4)
    x = torch.rand(3, 4, 4, dtype=torch.float64)
    narrow, wide = (flow.smoothed_log_prob(x, torch.full((3,), width))[1] for width in (1e-3, 1e3))
    assert not torch.allclose(narrow, wide)
    spread = flow.smoothed_log_prob(torch.rand(50, 4, 4, dtype=torch.float64), torch.full((50,), 1e3))[1].std()
    assert spread < 1e-3


@pytest.mark.parametrize("shape", [(8, 12), (8, 8, 3)])
def test_the_smoothed_log_likelihood_comes_with_the_true_one(shape: tuple[int, ...]) -> None:
    flow = small(*shape)
    x = torch.rand(5, *shape, dtype=torch.float64, requires_grad=True)
    log_prob, smoothed = flow.smoothed_log_prob(x, torch.full((5,), 0.01))
    torch.testing.assert_close(log_prob, flow.log_prob(x).detach(), rtol=1e-12, atol=1e-9)
    assert not log_prob.requires_grad
    assert smoothed.requires_grad


def test_an_ascent_finds_a_sharp_mode_far_from_its_initial_point() -> None:
    """One pixel of a flow that is nearly certain of one grey level, far from the initial point."""
    flow = flows.lattice((4, 4), width=4, blocks=1, components=1).double()
    with torch.no_grad():
        for step in flow.transforms:
            if isinstance(step, LatticeLevel):
                assert isinstance(step.net, CellNet)
                bias = step.net.last.bias
                assert bias is not None
                bias.copy_(torch.tensor([-6.0, -6.0, 6.0, math.log(0.8 / 0.2), -6.0]))
    hidden = torch.ones(2, 4, 4, dtype=torch.bool)
    x = torch.zeros(2, 4, 4, dtype=torch.float64)
    climb = inpainting.start(flow, x, hidden, noise.keys(0, 2), survey=inpainting.survey(flow), steps=40)
    while not bool(climb.done.all()):
        climb = inpainting.step(flow, climb)
    torch.testing.assert_close(climb.result(), torch.full_like(x, 0.8), atol=5e-3, rtol=0)


def test_the_share_of_a_pixel_in_the_log_determinant_is_its_log_slope() -> None:
    flow = disturb(flows.lattice((8, 8), width=8, blocks=1).double())
    x = torch.rand(1, 8, 8, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow.in_item_layout(flow.encode(v)[0]).flatten(), x)
    slopes = jacobian.reshape(64, 64).diagonal().reshape(1, 8, 8)
    torch.testing.assert_close(flow.encode_locally(x)[2], slopes.log())


@torch.no_grad()
def test_a_batch_that_is_computed_in_parts_gives_what_its_items_give(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = small(8, 8)
    x, uniform = torch.rand(2, 7, 8, 8, dtype=torch.float64).unbind(0)
    chosen = torch.rand(7, 8, 8) < 0.5
    z = flow.encode(x)[0]
    calls: dict[str, Callable[[LatticeFlow], tuple[torch.Tensor, ...]]] = {
        "encode": lambda flow: flow.encode(x),
        "decode": lambda flow: flow.decode(z),
        "encode_locally": lambda flow: flow.encode_locally(x),
        "redraw": lambda flow: flow.redraw(x, chosen, uniform),
    }
    whole = {name: call(flow) for name, call in calls.items()}
    monkeypatch.setattr("flows.architectures.lattice_flow._AT_ONCE", 3 * 64)
    sizes: list[int] = []
    next(iter(flow.transforms)).register_forward_pre_hook(lambda _, arguments: sizes.append(len(arguments[0])))
    for name, call in calls.items():
        torch.testing.assert_close(call(flow), whole[name])
    assert max(sizes) == 3
