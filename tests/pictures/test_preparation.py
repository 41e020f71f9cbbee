"""Pictures of any mode and size to uint8 pixels."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from pictures import BadPicture, Preparation
from pictures.preparation import bits_used, is_grey, pixels_by_bits, turned, turned_size

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


def test_a_palette_of_greys_is_grey_and_may_be_colour_too() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    grey = Image.fromarray(levels // 9).convert("P")  # its 29 levels are the first entries of its palette
    assert is_grey(grey)
    np.testing.assert_array_equal(Preparation(16, 1)(grey, convert=False), levels // 9)
    assert Preparation(16, 3)(grey, convert=False).shape == (16, 16, 3)
    palette = [grey for level in range(29) for grey in (level, level, level)] + [255, 0, 0]
    grey.putpalette(palette)  # red is there, but no pixel has it
    assert is_grey(grey)
    grey.putpixel((3, 3), 29)
    assert not is_grey(grey)
    with pytest.raises(BadPicture, match="in colour"):
        Preparation(16, 1)(grey, convert=False)


def test_pixels_of_the_right_mode_and_size_are_left_alone() -> None:
    grey, colour = noise(20, 30), noise(20, 30, 3)
    assert np.array_equal(GREY(Image.fromarray(grey)), grey)
    assert np.array_equal(COLOUR(Image.fromarray(colour)), colour)


def test_the_upper_bits_in_use_of_a_deep_picture_are_kept() -> None:
    deep = noise(20, 30, high=4096)
    deep[0, 0] = 4095
    picture = Image.fromarray(deep)
    assert bits_used([pixels_by_bits(picture)]) == 12
    assert np.array_equal(Preparation(64, 1, bits=12)(picture), (deep >> 4).astype(np.uint8))
    with pytest.raises(BadPicture, match="has levels above 255, the highest of the 8 bits"):
        GREY(picture)
    hot = deep >> 4
    hot[3, 3] = 4095
    assert np.array_equal(GREY(Image.fromarray(hot)), hot.clip(0, 255).astype(np.uint8))
    assert bits_used([pixels_by_bits(Image.fromarray(noise(4, 4)))]) == 8
    brightest = Image.fromarray(np.full((20, 20), 65535, np.int32))
    assert np.array_equal(Preparation(64, 1, bits=16)(brightest), np.full((20, 20), 255))


def test_a_deep_picture_keeps_its_levels_beside_a_transparent_value() -> None:
    deep = noise(20, 30, high=4096)
    deep[3, 4] = 77
    stream, clear = io.BytesIO(), io.BytesIO()
    Image.fromarray(deep).save(stream, "PNG", transparency=5000)
    Image.fromarray(deep).save(clear, "PNG", transparency=77)
    assert np.array_equal(Preparation(64, 1, bits=12)(Image.open(stream)), (deep >> 4).astype(np.uint8))
    with pytest.raises(BadPicture, match="transparent where its value is 77"):
        Preparation(64, 1, bits=12)(Image.open(clear))


def test_hot_pixels_of_a_sensor_use_no_bits() -> None:
    counted = []
    for number in range(20):
        values = noise(32, 32, high=1024)
        values[0, 0] = 600
        if number == 3:
            values[5, 7] = 65535
        counted.append(pixels_by_bits(Image.fromarray(values)))
        assert counted[-1].sum() == 32 * 32
    assert bits_used(counted) == 10
    values[:4] = 5000  # a bright part of one picture is no hot pixel
    assert bits_used([*counted * 20, pixels_by_bits(Image.fromarray(values))]) == 13


def test_a_grey_tiff_with_premultiplied_transparency_is_opaque_or_refused() -> None:
    values = noise(16, 16)
    opaque = Image.merge("LA", [Image.fromarray(values), Image.new("L", (16, 16), 255)]).convert("La")
    np.testing.assert_array_equal(GREY(opaque), values)
    clear = Image.merge("LA", [Image.fromarray(values), Image.new("L", (16, 16), 99)]).convert("La")
    with pytest.raises(BadPicture, match="transparent in places"):
        GREY(clear)


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
        (Image.fromarray(np.full((20, 20), 65536, np.int32)), "above 65535"),
    ]:
        with pytest.raises(BadPicture, match=reason):
            GREY(picture)
    with pytest.raises(BadPicture, match="is in colour"):
        GREY(Image.new("RGB", (20, 20)), convert=False)
    with pytest.raises(BadPicture, match="is grey"):
        COLOUR(Image.new("L", (20, 20)), convert=False)


SHORT, ASCII, UNDEFINED, FLOAT = 3, 2, 7, 11


def tiff(kind: int, count: int, value: bytes) -> bytes:
    """EXIF data with an orientation alone, of any type."""
    entry = struct.pack("<HHHI4sI", 1, 0x0112, kind, count, value.ljust(4, b"\0"), 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage-not",
        b"Exif\0\0II",
        tiff(ASCII, 2, b"6"),
        tiff(UNDEFINED, 4, b"\6"),
        tiff(SHORT, 1, b"\0\0"),
        tiff(SHORT, 1, b"\x09\0"),
        tiff(FLOAT, 1, struct.pack("<f", 6.5)),
    ],
    ids=["garbage", "short", "text", "undefined", "0", "9", "6.5"],
)
def test_a_picture_without_a_readable_orientation_is_taken_as_it_lies(exif: bytes, form: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(noise(20, 30)).save(stream, form, exif=exif)
    with Image.open(stream) as sent:
        assert turned_size(sent) == (30, 20)
    with Image.open(stream) as sent:
        assert np.array_equal(GREY(sent), np.asarray(Image.open(stream)))
        assert turned_size(sent) == (30, 20)


def test_a_picture_of_real_numbers_is_refused_as_such() -> None:
    with pytest.raises(BadPicture, match="has the mode F, which is neither"):
        GREY(Image.new("F", (16, 16)), convert=False)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_once_and_tells_the_size(orientation: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(noise(20, 30)).save(stream, "PNG", exif=tiff(SHORT, 1, struct.pack("<H", orientation)))
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(stream)))
    sent = Image.open(stream)
    assert turned_size(sent) == wanted.shape[::-1]
    found = turned(sent)
    assert np.array_equal(np.asarray(found), wanted)
    assert np.array_equal(GREY(found), wanted)
    assert turned_size(found) == wanted.shape[::-1]


def test_aligned_pictures_have_one_size_once_they_are_scaled_down() -> None:
    prepare = Preparation(64, 1, only=(32, 64))
    assert prepare(Image.new("L", (640, 320))).shape == (32, 64)
    for size, reason in [((32, 64), "is 32x64; "), ((320, 640), "is 320x640, scaled down to 32x64; ")]:
        with pytest.raises(BadPicture, match=f"^{reason}the model scores aligned pictures of 64x32 alone$"):
            prepare(Image.new("L", size))
