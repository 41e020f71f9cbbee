"""Aligned parts are told from surfaces."""

from __future__ import annotations

import pytest
import torch

from bench.parts import parts
from tests.service.pictures import surface
from trainer.pictures.alignment import aligned, place_matters


def test_aligned_pictures_are_told_from_a_surface() -> None:
    generator = torch.Generator().manual_seed(0)
    pattern = torch.nn.functional.interpolate(torch.randn(1, 1, 6, 6, generator=generator), 24)[0, 0]
    folds = torch.arange(30) % 3
    noise = [torch.randn(24, 24, generator=generator) for _ in range(30)]
    assert aligned([pattern + each for each in noise], folds)
    assert not aligned(noise, folds)


def test_the_place_matters_for_parts_and_not_for_a_surface() -> None:
    assert place_matters(list(parts(48, 30, seed=1)))
    assert not place_matters([torch.from_numpy(item[:20, :20]) for item in surface(30)])


@pytest.mark.parametrize("shape", [(8, 256), (16, 2048), (256, 8)])
def test_the_place_matters_in_long_parts_too(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    pattern = torch.nn.functional.interpolate(torch.randn(1, 1, 3, 40, generator=generator), sorted(shape))[0, 0]
    pattern = pattern if shape[0] < shape[1] else pattern.T
    noise = [128 + 12 * torch.randn(shape, generator=generator) for _ in range(30)]
    assert place_matters([(each + 30 * pattern).clamp(0, 255).byte() for each in noise])
    assert not place_matters([each.clamp(0, 255).byte() for each in noise])
