"""Densities of pictures of any size: the same as the flow's own, a density of the whole, in tiles."""

from __future__ import annotations

import itertools

import pytest
import torch

import flows
from flows import ShapeMismatch
from flows.architectures.lattice_flow import LatticeFlow
from flows.tiles import TiledDensity
from tests.flows.cases import disturb


def flow_of(*shape: int) -> LatticeFlow:
    flow = flows.lattice(shape, width=4, blocks=1, components=2, joint=True, anywhere=True).double()
    found = disturb(flow)
    assert isinstance(found, LatticeFlow)
    return found.eval().requires_grad_(False)


@pytest.mark.parametrize("shape", [(16, 16), (8, 12, 3)])
def test_a_picture_of_the_flow_s_own_size_has_its_log_likelihood(shape: tuple[int, ...]) -> None:
    flow = flow_of(*shape)
    x = torch.rand(shape, dtype=torch.float64)
    found = TiledDensity(flow).pixel_log_densities(x)
    assert found.shape == shape[:2]
    assert torch.allclose(found.sum(), flow.log_prob(x[None])[0])


def test_weights_serve_any_size() -> None:
    small = flow_of(8, 8)
    large = flows.lattice((24, 16), width=4, blocks=1, components=2, joint=True, anywhere=True).double()
    large.load_state_dict(small.state_dict())
    x = torch.rand(24, 16, dtype=torch.float64)
    assert torch.allclose(TiledDensity(small).pixel_log_densities(x).sum(), large.log_prob(x[None])[0])


@pytest.mark.parametrize("side", [8, 9, 32, 33, 47, 48, 49, 90])
def test_every_pixel_is_in_the_core_of_one_tile(side: int) -> None:
    density = TiledDensity(flow_of(8, 8), tile=32, margin=8)
    cores = [core for _, core in density._spans(side)]
    assert cores[0][0] == 0
    assert cores[-1][1] == side
    assert all(before[1] == after[0] for before, after in itertools.pairwise(cores))
    assert density.tile_pixels(side, 8) == 8 * sum(end - start for (start, end), _ in density._spans(side))
    for (start, end), (first, last) in density._spans(side):
        assert start % 8 == 0
        assert end - start <= 32
        assert start <= first < last <= end


def test_tiles_agree_with_the_whole_picture_far_from_their_borders() -> None:
    flow = flow_of(8, 8)
    x = torch.rand(40, 56, dtype=torch.float64)
    whole = TiledDensity(flow, tile=64).pixel_log_densities(x)
    tiled = TiledDensity(flow, tile=40, margin=16).pixel_log_densities(x)  # a net of one block looks 13 pixels far
    assert torch.allclose(whole, tiled)


def test_a_pixel_depends_on_no_later_pixel_of_the_whole_picture() -> None:
    density = TiledDensity(flow_of(8, 8), tile=24, margin=8)
    x = torch.rand(30, 43, dtype=torch.float64)
    before = density.pixel_log_densities(x)
    last = x.clone()
    last[3::4, 0::4] = 1 - x[3::4, 0::4]  # the last lattice: nothing is drawn after it
    changed = density.pixel_log_densities(last) != before
    assert not changed[torch.arange(30) % 4 != 3].any()
    assert not changed[:, torch.arange(43) % 4 != 0].any()


def test_what_lies_beyond_a_border_has_no_effect() -> None:
    flow = flow_of(16, 16)
    x = torch.rand(1, 16, 16, dtype=torch.float64)
    inside = torch.zeros(1, 16, 16, dtype=torch.bool)
    inside[:, :14, :13] = True
    other = torch.where(inside, x, torch.rand(1, 16, 16, dtype=torch.float64))
    first, second = (flow.pixel_log_densities(each, inside) for each in (x, other))
    assert torch.equal(first[inside], second[inside])


def test_half_of_the_pixels_estimate_the_log_likelihood() -> None:
    flow = flow_of(16, 16, 3)
    x = torch.rand(2, 16, 16, 3, dtype=torch.float64)
    each = [flow.half_log_prob(x, starts) for starts in itertools.product((0, 1), repeat=5)]
    assert torch.allclose(torch.stack(each).mean(dim=0), flow.log_prob(x))


def test_a_template_tells_nets_the_place() -> None:
    flow = disturb(
        flows.lattice((16, 16, 3), width=4, blocks=1, components=2, joint=True, anywhere=True, template=True).double()
    )
    assert isinstance(flow, LatticeFlow)
    x, usual, other = torch.rand(3, 2, 16, 16, 3, dtype=torch.float64).unbind()
    each = [flow.half_log_prob(x, starts, usual) for starts in itertools.product((0, 1), repeat=5)]
    whole = flow.pixel_log_densities(x, template=usual).sum(dim=(1, 2))
    assert torch.allclose(torch.stack(each).mean(dim=0), whole)
    whole.sum().backward()
    assert all(parameter.grad is not None for parameter in flow.parameters())
    with torch.no_grad():
        assert not torch.allclose(flow.pixel_log_densities(x, template=other).sum(dim=(1, 2)), whole)
        assert torch.allclose(flow.pixel_log_densities(x).sum(dim=(1, 2)), flow.log_prob(x))
    assert flow.takes_template
    assert not flow_of(8, 8).takes_template
    with pytest.raises(flows.ArchitectureError, match="template: only a joint lattice flow takes one"):
        flows.lattice((8, 8), template=True)


def test_a_template_is_scaled_to_a_picture_and_cut_into_its_tiles() -> None:
    made = flows.lattice((16, 16), width=4, blocks=1, components=2, joint=True, anywhere=True, template=True).double()
    flow = disturb(made).eval().requires_grad_(False)
    assert isinstance(flow, LatticeFlow)
    usual = torch.randint(0, 256, (41, 50), dtype=torch.uint8)
    x = torch.rand(41, 50, dtype=torch.float64)
    whole, tiled = (TiledDensity(flow, tile=tile, margin=16, template=usual) for tile in (160, 48))
    assert torch.allclose(whole.pixel_log_densities(x), tiled.pixel_log_densities(x))
    even = torch.full((10, 10), 77, dtype=torch.uint8)
    small, large = (TiledDensity(flow, template=each) for each in (even, even.repeat(4, 5)))
    assert torch.allclose(small.pixel_log_densities(x), large.pixel_log_densities(x))
    assert not torch.allclose(small.pixel_log_densities(x), whole.pixel_log_densities(x))


def test_noise_follows_from_the_picture_and_the_seed() -> None:
    density = TiledDensity(flow_of(8, 8))
    picture = torch.randint(0, 256, (20, 30), dtype=torch.uint8)
    assert torch.equal(density.to_continuous(picture, 3), density.to_continuous(picture, 3))
    assert not torch.equal(density.to_continuous(picture, 3), density.to_continuous(picture, 4))
    assert torch.equal((density.to_continuous(picture) * 256).floor().to(torch.uint8), picture)


def test_pictures_of_other_colours_and_tiny_ones_are_refused() -> None:
    density = TiledDensity(flow_of(8, 8))
    for shape in ((20, 20, 3), (7, 20)):
        with pytest.raises(ShapeMismatch):
            density.to_continuous(torch.zeros(shape, dtype=torch.uint8))
    with pytest.raises(ShapeMismatch):
        flow_of(8, 8).on_sides(4, 8)


def test_densities_that_share_masks_keep_their_own_nets() -> None:
    flow, other = flow_of(16, 16), flow_of(16, 16)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    x = torch.rand(41, 50, dtype=torch.float64)
    alone, first, second = (TiledDensity(each, tile=32, margin=8) for each in (flow, other, flow))
    second.share_masks(first)
    with torch.no_grad():
        found = second.pixel_log_densities(x)
        assert torch.equal(found, alone.pixel_log_densities(x))
        assert not torch.equal(found, first.pixel_log_densities(x))
    own = [dict(density.sized(32, 32).named_buffers()) for density in (first, second)]
    shared = [name for name in own[0] if name.endswith(".seen")]
    assert shared
    assert all(own[0][name].data_ptr() == own[1][name].data_ptr() for name in shared)


def test_a_picture_smaller_than_a_lattice_of_quarters_is_scored_all_the_same() -> None:
    flow = flows.lattice((20, 20), width=4, blocks=1, components=2, joint=True, anywhere=True, quartered=3)
    assert isinstance(flow, LatticeFlow)
    density = TiledDensity(flow.eval())
    picture = torch.randint(0, 256, (9, 40), dtype=torch.uint8)
    found = density.pixel_log_densities(density.to_continuous(picture))
    assert found.shape == (9, 40)
    assert bool(found.isfinite().all())
    with pytest.raises(ValueError, match="begin 32 pixels or a multiple of it apart, not 16"):
        TiledDensity(density.flow, tile=32, margin=8)


def test_a_joint_flow_of_one_cell_is_refused() -> None:
    with pytest.raises(flows.ArchitectureError, match="more than one cell of 4x4"):
        flows.lattice((4, 4), width=4, blocks=1, components=2, joint=True)
    flow = flows.lattice((4, 8), width=4, blocks=1, components=2, joint=True).double()
    assert isinstance(flow, LatticeFlow)
    x = torch.rand(3, 4, 8, dtype=torch.float64)
    each = [flow.half_log_prob(x, starts) for starts in itertools.product((0, 1), repeat=5)]
    assert torch.allclose(torch.stack(each).mean(dim=0), flow.log_prob(x))
