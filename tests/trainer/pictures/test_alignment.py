"""Aligned parts are told from surfaces."""

from __future__ import annotations

import pytest
import torch

from bench.parts import parts as drawn_parts
from tests.service.pictures import surface
from trainer.pictures.alignment import aligned, place_matters
from trainer.pictures.dealing import dealt

NONE = torch.empty(0, 2, dtype=torch.long)
THIRDS = dealt(NONE, 30, 0).folds


def test_aligned_pictures_are_told_from_a_surface() -> None:
    generator = torch.Generator().manual_seed(0)
    pattern = torch.nn.functional.interpolate(torch.randn(1, 1, 6, 6, generator=generator), 24)[0, 0]
    parts = dealt(NONE, 30, 0)
    noise = [torch.randn(24, 24, generator=generator) for _ in range(30)]
    assert aligned([pattern + each for each in noise], parts.folds, parts.halves)
    assert not aligned(noise, parts.folds, parts.halves)


def test_the_place_matters_for_parts_and_not_for_a_surface() -> None:
    assert place_matters(list(drawn_parts(48, 30, seed=1)), THIRDS)
    assert not place_matters([torch.from_numpy(item[:20, :20]) for item in surface(30)], THIRDS)


@pytest.mark.parametrize("shape", [(8, 256), (16, 2048), (256, 8)])
def test_the_place_matters_in_long_parts_too(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    pattern = torch.nn.functional.interpolate(torch.randn(1, 1, 3, 40, generator=generator), sorted(shape))[0, 0]
    pattern = pattern if shape[0] < shape[1] else pattern.T
    noise = [128 + 12 * torch.randn(shape, generator=generator) for _ in range(30)]
    assert place_matters([(each + 30 * pattern).clamp(0, 255).byte() for each in noise], THIRDS)
    assert not place_matters([each.clamp(0, 255).byte() for each in noise], THIRDS)


def test_fixed_cameras_are_not_aligned() -> None:
    """Frames of ten cameras that see different things: frames of one resemble each other at every place."""
    generator = torch.Generator().manual_seed(0)
    coarse = [torch.randn(1, 1, 12, 12, generator=generator) for _ in range(10)]
    views = [torch.nn.functional.interpolate(each, 48)[0, 0] for each in coarse]
    latent = [2 * views[index % 10] + torch.randn(48, 48, generator=generator) for index in range(60)]
    pictures = [(128 + 20 * each).clamp(0, 255).byte() for each in latent]
    pairs = torch.tensor([(index, index + 10) for index in range(50)])
    apart, at_random = dealt(pairs, 60, 0), dealt(NONE, 60, 0)
    assert not place_matters(pictures, apart.folds)
    assert not aligned(latent, apart.folds, apart.halves)
    assert place_matters(pictures, at_random.folds)
