"""Random windows of an image: squares around hidden pixels, and tiles that lie apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import flows
from flows import inpainting, noise
from flows.inpainting import Climb
from flows.inpainting.windows import tiles, window


@cache
def begun(*shape: int) -> Climb:
    """A climb of six rows, for its shape and keys only."""
    x = torch.full((6, *shape), 0.5)
    flow = flows.lattice(shape, width=6, blocks=1)
    survey = inpainting.survey(flow)
    return inpainting.start(flow, x, x > 0, noise.keys(5, 6), survey=survey, method="langevin", steps=0)


def waiting(hidden: Tensor, step_size: float) -> Climb:
    """A climb with these hidden entries (6, *S) and this step size."""
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
def test_tiles_lie_apart_each_in_its_own_cell(seed: int, step_size: float) -> None:
    tiling = tiles(waiting(torch.ones(6, 12, 16, dtype=torch.bool), step_size), noise.keys(seed, 6))
    squares = tiling.squares
    cells = tiling.of(torch.arange(12 * 16).expand(6, -1), squares)
    assert int(cells.min()) >= 0
    assert int(cells.max()) < 12 * 16
    for square, numbers in zip(squares, cells, strict=True):
        # Neighbouring pixels inside squares belong to the same cell.
        for axis in (0, 1):
            touching = square.narrow(axis, 1, square.shape[axis] - 1) & square.narrow(axis, 0, square.shape[axis] - 1)
            assert not bool(touching[numbers.diff(dim=axis) != 0].any())


@given(seed=st.integers(0, 2**31), step_size=st.floats(0, 2), colours=st.sampled_from([(), (3,)]))
def test_the_sums_of_cells_are_those_of_their_pixels(seed: int, step_size: float, colours: tuple[int, ...]) -> None:
    hidden = torch.ones(6, 12, 16, *colours, dtype=torch.bool)
    tiling = tiles(waiting(hidden, step_size), noise.keys(seed, 6)).where(torch.arange(6) > 1)
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(hidden.shape, dtype=torch.float64, generator=generator)
    cells = tiling.of(torch.arange(12 * 16).expand(6, -1), values).expand(values.shape).flatten(1)
    expected = torch.zeros(6, 12 * 16, dtype=torch.float64).scatter_add(1, cells, values.flatten(1))
    torch.testing.assert_close(tiling.sums(values), expected)
    values[5, 2, 3] = torch.nan
    spoilt = tiling.sums(values)
    assert float(spoilt[5].min()) < -1e299
    assert int((spoilt != tiling.sums(values.nan_to_num())).sum()) == 1


def test_windows_are_placed_in_proportion_to_the_weights() -> None:
    climb = waiting(torch.ones(6, 8, 12, dtype=torch.bool), 0.01)
    weights = torch.zeros(6, 8, 12)
    weights[:, 3, 4], weights[:, 6, 1] = 3.0, 1.0
    squares = torch.cat([window(climb, weights, noise.keys(seed, 6)) for seed in range(50)])
    assert squares.sum() == 300, "of a pixel each"
    assert bool((squares[:, 3, 4] | squares[:, 6, 1]).all())
    assert 0.65 < float(squares[:, 3, 4].double().mean()) < 0.85
