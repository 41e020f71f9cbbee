"""The length of images in a lossless code that needs no model, in total and for each pixel.

A flow gives simple pictures a high likelihood, whatever they show. The length of a general-purpose lossless code
measures how simple a picture is (Serrà et al. 2020, "Input complexity and out-of-distribution detection with
likelihood-based generative models"). Only the length is needed, not the code itself, and the length of an adaptive
code follows from counts alone. A few vectorised passes measure a whole batch on its own device.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_BITS = 8
_CLASSES = 2 * _BITS + 1
_ACTIVITIES = (1, 8, 64)
"""The limits between contexts. On real images the length hardly depends on them."""
CONTEXTS = len(_ACTIVITIES) + 1
_PRIOR = 0.5  # Krichevsky & Trofimov: every class starts with half an occurrence


class CodeLength(NamedTuple):
    """The code lengths of B images."""

    bits: Tensor
    """(B,), float64: bits of each image."""
    pixels: Tensor
    """(B, H, W), float32: bits of each pixel under the image's final distribution."""
    counts: Tensor
    """(B, CONTEXTS, 9), float64: the number of residuals with 0, 1, ... 8 bits in each context."""


def code_bits(levels: Tensor) -> Tensor:
    """The code length in bits (B,), float64, of 8-bit images (B, H, W) or (B, H, W, C)."""
    return code_length(levels).bits


def code_length(levels: Tensor) -> CodeLength:
    """The code length of 8-bit images (B, H, W) or (B, H, W, C), in a code that adapts to each image as it goes.

    The code follows LOCO-I (Weinberger, Seroussi & Sapiro 2000): each pixel is predicted from those before it, and its
    residual is coded in a context of its surroundings. Each context has one adaptive distribution (Krichevsky &
    Trofimov 1981) over the sign and bit length of residuals; the bits below the leading one are sent as they are. A
    decoder could follow row by row. The length of an image depends on no other image.
    """
    # index_select reads tables several times faster on a CPU than indexing or gather.
    bin_of, raw_bits = _tables(levels.device)
    bins = bin_of.index_select(0, _activity_and_residual(levels).flatten().int())
    bins = bins.view(len(levels), math.prod(levels.shape[1:]))
    bins += CONTEXTS * _CLASSES * torch.arange(len(levels), device=levels.device)[:, None]
    occurrences = _occurrences(bins.flatten(), len(levels) * CONTEXTS * _CLASSES)
    counts = occurrences.double().reshape(len(levels), -1, _CLASSES)
    totals = counts.sum(dim=2) + _CLASSES * _PRIOR
    # Counts c of K classes, n in all, have probability G(K/2) / G(n + K/2) * prod G(c + 1/2) / G(1/2), G the gamma.
    nats = (totals.lgamma() - math.lgamma(_CLASSES * _PRIOR)).sum(dim=1)
    # A count is at most the number of entries of an image: a table of that many logarithms is faster than computing.
    each_count = torch.arange(bins.shape[1] + 1, dtype=counts.dtype, device=counts.device)
    log_products = (each_count + _PRIOR).lgamma() - math.lgamma(_PRIOR)
    nats -= log_products.index_select(0, occurrences).view_as(counts).sum(dim=(1, 2))
    each = (totals[..., None] / (counts + _PRIOR)).log2() + raw_bits
    negative = functional.pad(counts[:, :, _BITS + 1 :], (1, 0))  # a residual of 0 bits has no sign
    return CodeLength(
        bits=nats / math.log(2) + (counts * raw_bits).sum(dim=(1, 2)),
        pixels=each.flatten().float().index_select(0, bins.flatten()).reshape(*levels.shape[:3], -1).sum(dim=3),
        counts=counts[:, :, : _BITS + 1] + negative,
    )


def _occurrences(values: Tensor, count: int) -> Tensor:
    """How often each of the integers 0 ... count - 1 occurs among values (N,).

    As fast as ``bincount``, which on a GPU waits for all work before it, to look at the largest value. Sums of integers
    do not depend on their order.
    """
    return values.new_zeros(count).scatter_add_(0, values, torch.ones_like(values))


def _activity_and_residual(levels: Tensor) -> Tensor:
    """256 times the activity around each pixel of (B, H, W[, C]), plus its residual modulo 256, int16.

    Each image gets a frame of zeros and is flattened row by row. The neighbours of all pixels are then the same line at
    another offset: a few long passes, whose results at the frame are dropped.
    """
    count, height, width = levels.shape[:3]
    pixel = math.prod(levels.shape[3:])
    row = (width + 2) * pixel
    framed = levels.new_zeros(count, height + 1, width + 2, pixel, dtype=torch.int16)
    framed[:, 1:, 1:-1] = levels.reshape(count, height, width, pixel)
    line, length = framed.view(count, -1), height * row - 2 * pixel

    def before(distance: int) -> Tensor:
        start = row + pixel - distance
        return line[:, start : start + length]

    here, west, north, corner, east = map(before, (0, pixel, row, row + pixel, row - pixel))
    residuals = (here - _predicted(west, north, corner)).bitwise_and_(2**_BITS - 1)
    activity = (west - corner).abs_() + (corner - north).abs_() + (north - east).abs_()
    found = line.new_empty(count, height * row)
    found[:, :length] = activity.clamp_max_(_ACTIVITIES[-1]).mul_(2**_BITS).add_(residuals)
    return found.view(count, height, row)[:, :, : width * pixel]


def _predicted(west: Tensor, north: Tensor, corner: Tensor) -> Tensor:
    """The prediction of LOCO-I's median edge detector (eq. 1): west, north, or the plane through all three."""
    low, high = torch.minimum(west, north), torch.maximum(west, north)
    return (west + north - corner).clamp(low, high)


def _bins() -> Tensor:
    """The bin of each pair of activity (up to the last limit) and residual modulo 256, at 256 * activity + residual.

    Each context has one bin for each class. Classes 0 to 8 are the bit lengths of residuals that are not negative;
    negative ones follow in the same order.
    """
    residuals = [level - 2**_BITS if level >= 2 ** (_BITS - 1) else level for level in range(2**_BITS)]
    classes = [abs(r).bit_length() + (_BITS if r < 0 else 0) for r in residuals]
    contexts = [sum(activity >= least for least in _ACTIVITIES) for activity in range(_ACTIVITIES[-1] + 1)]
    return torch.tensor([_CLASSES * context + each for context in contexts for each in classes])


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """``_bins``, and the number of bits below the leading one for each class: constants, copied to a device once."""
    raw_bits = torch.tensor([0.0, *range(_BITS), *range(_BITS)], dtype=torch.float64)
    return _bins().to(device), raw_bits.to(device)
