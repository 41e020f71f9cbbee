"""Interpolation of hidden pixels from the known ones around them."""

from __future__ import annotations

import pytest
import torch

from flows.inpainting.interpolation import interpolated


@pytest.mark.parametrize("shape", [(9, 14), (21, 8, 3), (40, 40, 3)])
def test_hidden_pixels_lie_between_the_known_ones_which_stay(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = 0.2 + 0.5 * torch.rand(2, *shape, generator=generator)
    hidden = torch.rand(2, *shape[:2], generator=generator) < 0.7
    hidden[:, :3] = True  # also along a border
    hidden = hidden.reshape(*hidden.shape, *[1] * (x.ndim - 3)).expand_as(x)
    found = interpolated(torch.where(hidden, torch.nan, x), hidden, torch.zeros(shape))
    assert torch.equal(found[~hidden], x[~hidden])
    assert bool(((found >= 0.2) & (found <= 0.7)).all())
    alone = interpolated(x[1:], hidden[1:], torch.zeros(shape))
    torch.testing.assert_close(alone, found[1:])


def test_a_hole_in_a_slope_is_filled_with_the_slope() -> None:
    x = (torch.linspace(0, 1, 40)[:, None] + torch.linspace(0, 0.5, 32)).expand(1, 40, 32)
    hidden = torch.zeros_like(x, dtype=torch.bool)
    hidden[:, 12:24, 8:20] = True
    found = interpolated(x, hidden, torch.zeros(40, 32))
    assert float((found - x).abs().max()) < 0.06


def test_a_picture_without_a_known_pixel_gets_what_is_usual() -> None:
    usual = torch.rand(8, 12, 3)
    found = interpolated(torch.full((1, 8, 12, 3), torch.nan), torch.ones(1, 8, 12, 3, dtype=torch.bool), usual)
    assert torch.equal(found[0], usual)


def test_a_colour_without_a_known_entry_gets_what_is_usual_of_it() -> None:
    hidden = torch.zeros(1, 8, 12, 3, dtype=torch.bool)
    hidden[..., 2] = True
    found = interpolated(torch.full((1, 8, 12, 3), 0.8), hidden, torch.full((8, 12, 3), 0.5))
    assert found[0, 0, 0].tolist() == pytest.approx([0.8, 0.8, 0.5])
