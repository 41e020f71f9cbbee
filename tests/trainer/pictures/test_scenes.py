"""Pictures that show the same scene, whole or in part."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from trainer.pictures import parting
from trainer.pictures import scenes as module
from trainer.pictures.scenes import alike

SIDE = 48


def scenes(pictures: list[Tensor]) -> Tensor:
    """The index of the first picture that shows the scene of each."""
    numbers = parting.scenes(alike(pictures), len(pictures))
    return torch.stack([(numbers == each).nonzero()[0, 0] for each in numbers])


def photograph(seed: int, height: int = 200, width: int = 200, colours: tuple[int, ...] = ()) -> Tensor:
    """Noise at two scales: a surface that never repeats itself."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(0, 30, (height // 8 + 1, width // 8 + 1, *colours)).repeat(8, 0).repeat(8, 1)
    light = 128 + coarse[:height, :width] + generator.normal(0, 20, (height, width, *colours))
    return _levels(light)


def _levels(light: np.ndarray) -> Tensor:
    return torch.from_numpy(light.clip(0, 255).astype(np.uint8))


def cut(whole: Tensor, row: int, column: int, side: int = SIDE) -> Tensor:
    return whole[row : row + side, column : column + side]


def others(count: int, colours: tuple[int, ...] = ()) -> list[Tensor]:
    """Pictures of scenes of their own."""
    return [cut(photograph(100 + seed, SIDE, SIDE, colours), 0, 0) for seed in range(count)]


@pytest.mark.parametrize("colours", [(), (3,)])
def test_crops_of_one_photograph_that_overlap_are_one_scene(colours: tuple[int, ...]) -> None:
    whole = photograph(0, colours=colours)
    apart = [*others(10, colours), cut(whole, 0, 0), cut(whole, 100, 100)]
    assert scenes(apart).tolist() == list(range(12))
    chain = [cut(whole, 0, 60), cut(whole, 8, 64), cut(whole, 16, 68)]
    assert scenes([*apart, *chain]).tolist() == [*range(12), 12, 12, 12]


def test_pictures_saved_again_and_frames_of_a_film_are_one_scene() -> None:
    pictures = [cut(photograph(seed), 10, 10, 96) for seed in range(12)]
    stream = io.BytesIO()
    Image.fromarray(pictures[2].numpy()).save(stream, "JPEG", quality=75)
    again = torch.from_numpy(np.array(Image.open(stream)))
    noise = np.random.default_rng(9).normal(0, 4, (96, 96))
    frame = _levels(cut(photograph(4), 13, 8, 96).numpy() + noise)
    assert scenes([*pictures, again, frame]).tolist() == [*range(12), 2, 4]


def test_noise_does_not_hide_the_scene_of_a_smooth_picture() -> None:
    generator = np.random.default_rng(0)

    def frames(seed: int) -> list[Tensor]:
        dots = np.random.default_rng(seed).normal(0, 1, (80, 80))
        smooth = sum(width * gaussian_filter(dots, width) for width in (1, 2, 4, 8))
        smooth = 128 + 20 * smooth / smooth.std()
        return [_levels(smooth[at : at + 64, at : at + 64] + generator.normal(0, 2, (64, 64))) for at in (0, 2)]

    film = [frame for seed in range(12) for frame in frames(seed)]
    assert scenes(film).tolist() == [2 * (place // 2) for place in range(24)]


def test_a_pattern_that_repeats_itself_makes_no_scene() -> None:
    down, across = np.mgrid[:64, :64]
    weave = 100.0 * ((down // 8 + across // 8) % 2) + 80
    generator = np.random.default_rng(0)
    pictures = [_levels(np.roll(weave, shift, 0) + generator.normal(0, 6, weave.shape)) for shift in range(12)]
    assert scenes(pictures).tolist() == list(range(12))


def test_aligned_parts_resemble_each_other_and_are_still_several() -> None:
    part, generator = photograph(0, 64, 64).float(), torch.Generator().manual_seed(0)
    each = [(part + 20 * torch.randn(64, 64, generator=generator)).clamp(0, 255).byte() for _ in range(8)]
    assert scenes(each).tolist() == list(range(8))


def test_sizes_may_differ_and_a_blank_picture_is_no_scene_of_others() -> None:
    whole = photograph(3)
    pictures = [*others(8), whole[20:64, 20:76], whole[22:70, 21:70], torch.zeros(30, 40).byte()]
    assert scenes([*pictures, torch.zeros(31, 40).byte()]).tolist() == [*range(8), 8, 8, 10, 11]


def test_many_pictures_are_compared_with_those_that_follow_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PAIRS", 30)
    pictures = others(10)
    found = scenes([*pictures[:5], pictures[4], *pictures[5:], pictures[0]]).tolist()
    assert found == [0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10, 11]


def test_pictures_of_a_few_pixels_are_no_scene_by_chance() -> None:
    pictures = [cut(photograph(seed), 0, 0, 9) for seed in range(60)]
    assert scenes(pictures).tolist() == list(range(60))
