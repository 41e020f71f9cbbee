"""Code lengths of images: those of a real lossless code, pixel by pixel."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flows.anomaly.complexity import code_bits, code_length
from tests.conftest import Digits


def test_code_bits_behave_like_the_length_of_a_lossless_code(digits: Digits) -> None:
    flat = torch.zeros(1, 28, 28, dtype=torch.uint8)
    noise = torch.randint(0, 256, (1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ramp = torch.arange(28, dtype=torch.uint8).repeat(28, 1)[None] * 3
    lengths = [code_bits(images).item() for images in (flat, ramp, digits.test[:1], noise)]
    assert lengths == sorted(lengths)
    assert lengths[-1] >= 784 * 8, "noise cannot be compressed"
    assert lengths[1] < 8 * len(zlib.compress(ramp.numpy().tobytes())), "the predictor sees the ramp"
    assert code_bits(digits.test[:5]).tolist() == [code_bits(image[None]).item() for image in digits.test[:5]]


@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.sampled_from([0, 1, 9, 130, 255])))
def test_code_bits_equal_those_of_a_sequential_coder(image: np.ndarray) -> None:
    assert code_bits(torch.from_numpy(image)[None]).item() == pytest.approx(sequential_code_bits(image.tolist()))


def sequential_code_bits(image: list[list[int]]) -> float:
    """The same code length, computed pixel by pixel from the pixels before, as a decoder would."""
    seen: dict[int, list[float]] = {}
    bits = 0.0

    def at(row: int, column: int) -> int:
        return image[row][column] if row >= 0 and 0 <= column < len(image[0]) else 0

    for row, pixels in enumerate(image):
        for column, pixel in enumerate(pixels):
            west, north = at(row, column - 1), at(row - 1, column)
            corner, east = at(row - 1, column - 1), at(row - 1, column + 1)
            predicted = sorted((west, north, west + north - corner))[1]
            residual = (pixel - predicted + 128) % 256 - 128
            activity = abs(west - corner) + abs(corner - north) + abs(north - east)
            counts = seen.setdefault(sum(activity >= least for least in (1, 8, 64)), [0.5] * 17)
            length = abs(residual).bit_length()
            kind = length + 8 * (residual < 0)
            bits += -math.log2(counts[kind] / sum(counts)) + max(length - 1, 0)
            counts[kind] += 1
    return bits


def test_busy_pixels_cost_more_bits(digits: Digits) -> None:
    images = torch.zeros(1, 28, 28, dtype=torch.uint8)
    images[:, 14:, 14:] = digits.test[0, 7:21, 7:21]
    length = code_length(images)
    assert length.pixels.shape == images.shape
    assert length.pixels[0, 14:, 14:].mean() > 10 * length.pixels[0, :14].mean()
    torch.testing.assert_close(length.pixels.sum().double(), length.bits[0], rtol=0.2, atol=0)
    assert length.counts.sum() == 28 * 28
    assert length.counts[0, 0].argmax() == 0, "where nothing happens residuals have no bits"


def test_code_bits_of_colour_images_sum_over_channels(digits: Digits) -> None:
    colour = digits.test[:2, :, :, None].expand(-1, -1, -1, 3)
    assert bool((code_bits(colour) > code_bits(digits.test[:2])).all())
