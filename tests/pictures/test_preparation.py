"""Pictures of any mode and size to uint8 pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pictures import BadPicture, Preparation
from pictures.preparation import bits_used, turned_size

GREY, COLOUR = Preparation(64, 1), Preparation(64, 3)


def noise(*shape: int, high: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(np.uint16 if high > 256 else np.uint8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("prepare", [GREY, COLOUR])
def test_every_mode_becomes_grey_or_colour(mode: str, prepare: Preparation) -> None:
    picture = Image.fromarray(noise(20, 30, 3)).convert("RGB")
    picture = picture.convert("L").convert(mode) if mode == "LA" else picture.convert(mode)
    found = prepare(picture)
    assert found.dtype == np.uint8
    assert found.shape == ((20, 30) if prepare is GREY else (20, 30, 3))


def test_pixels_of_the_right_mode_and_size_are_left_alone() -> None:
    grey, colour = noise(20, 30), noise(20, 30, 3)
    assert np.array_equal(GREY(Image.fromarray(grey)), grey)
    assert np.array_equal(COLOUR(Image.fromarray(colour)), colour)


def test_the_upper_bits_in_use_of_a_deep_picture_are_kept() -> None:
    deep = noise(20, 30, high=4096)
    deep[0, 0] = 4095
    picture = Image.fromarray(deep)
    assert bits_used(picture) == 12
    assert np.array_equal(Preparation(64, 1, bits=12)(picture), (deep >> 4).astype(np.uint8))
    assert np.array_equal(GREY(picture), deep.clip(0, 255).astype(np.uint8))  # of 8 bits the picture is too bright
    assert bits_used(Image.fromarray(noise(4, 4))) == 8


def test_a_picture_is_turned_as_its_camera_held_it() -> None:
    pixels = noise(20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    picture = Image.open(stream)
    assert turned_size(picture) == (20, 30)
    assert np.array_equal(GREY(picture), np.rot90(pixels, -1))


@pytest.mark.parametrize(("size", "wanted"), [((640, 320), (32, 64)), ((100, 500), (64, 13)), ((63, 20), (20, 63))])
def test_large_pictures_are_scaled_down_and_keep_their_proportions(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert GREY(Image.new("L", size)).shape == wanted


def test_what_cannot_become_pixels_is_refused_with_a_reason() -> None:
    clear = Image.new("RGBA", (20, 20), (9, 9, 9, 100))
    for picture, reason in [
        (clear, "transparent"),
        (Image.new("L", (640, 40)), "below 8"),
        (Image.new("F", (20, 20)), "mode F"),
        (Image.new("LAB", (20, 20)), "mode LAB"),
        (Image.fromarray(np.full((20, 20), -5, np.int32)), "negative"),
    ]:
        with pytest.raises(BadPicture, match=reason):
            GREY(picture)
    with pytest.raises(BadPicture, match="is in colour"):
        GREY(Image.new("RGB", (20, 20)), convert=False)
    with pytest.raises(BadPicture, match="is grey"):
        COLOUR(Image.new("L", (20, 20)), convert=False)


def test_aligned_pictures_have_one_size_once_they_are_scaled_down() -> None:
    prepare = Preparation(64, 1, only=(32, 64))
    assert prepare(Image.new("L", (640, 320))).shape == (32, 64)
    for size, reason in [((32, 64), "is 32x64; "), ((320, 640), "is 320x640, scaled down to 32x64; ")]:
        with pytest.raises(BadPicture, match=f"^{reason}the model scores aligned pictures of 64x32 alone$"):
            prepare(Image.new("L", size))
