"""How many bits an image needs without any model, in all and pixel by pixel.

A flow gives simple pictures a high likelihood whatever they show; the length of a general-purpose lossless code tells
how simple a picture is (Serrà et al. 2020, "Input complexity and out-of-distribution detection with likelihood-based
generative models"). Only the length is needed, never the code itself, and an adaptive code's length follows from
counts alone. So a whole batch is measured in a few vectorised passes, on the device where it lies.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_BITS = 8
_CLASSES = 2 * _BITS + 1
_ACTIVITIES = (1, 8, 64)
"""Where one context ends and the next begins; on real images the length hardly depends on these."""
CONTEXTS = len(_ACTIVITIES) + 1
_PRIOR = 0.5  # of Krichevsky & Trofimov: of every class half an occurrence is presumed


class CodeLength(NamedTuple):
    """Of B images, float64."""

    bits: Tensor
    """Of each image as a whole (B,)."""
    pixels: Tensor
    """(B, H, W), float32: bits of each pixel once the image's own distribution is known."""
    counts: Tensor
    """(B, CONTEXTS, 9): how many residuals have 0, 1, .. 8 bits, context by context."""


def code_bits(levels: Tensor) -> Tensor:
    """Bits (B,), float64, of 8-bit images (B, H, W) or (B, H, W, C)."""
    return code_length(levels).bits


def code_length(levels: Tensor) -> CodeLength:
    """Of 8-bit images (B, H, W) or (B, H, W, C), in a code that learns each image as it goes.

    The code has the parts of LOCO-I (Weinberger, Seroussi & Sapiro 2000): every pixel is predicted from those before
    it, and its residual is coded by what its surroundings lead to expect. Here that is one adaptive distribution
    (Krichevsky & Trofimov 1981) a context over the sign and bit length of residuals; their lower bits go as they are.
    A decoder could follow row by row. An image's length depends on no other image.
    """
    # Tables are read by index_select, which is several times faster on a CPU than indexing or gather.
    bin_of, raw_bits = _BIN_OF.to(levels.device), _RAW_BITS.to(levels.device)
    bins = bin_of.index_select(0, _activity_and_residual(levels).flatten().int()).view(len(levels), -1)
    bins += CONTEXTS * _CLASSES * torch.arange(len(levels), device=levels.device)[:, None]
    occurrences = torch.bincount(bins.flatten(), minlength=len(levels) * CONTEXTS * _CLASSES)
    counts = occurrences.double().reshape(len(levels), -1, _CLASSES)
    totals = counts.sum(dim=2) + _CLASSES * _PRIOR
    # A sequence of n with counts c has probability  G(K/2) / G(n + K/2) * prod G(c + 1/2) / G(1/2)  of K classes.
    nats = (totals.lgamma() - math.lgamma(_CLASSES * _PRIOR)).sum(dim=1)
    # A count is at most an image's entries: so few logarithms are looked up faster than they are computed.
    each_count = torch.arange(bins.shape[1] + 1, dtype=counts.dtype, device=counts.device)
    log_products = (each_count + _PRIOR).lgamma() - math.lgamma(_PRIOR)
    nats -= log_products.index_select(0, occurrences).view_as(counts).sum(dim=(1, 2))
    each = (totals[..., None] / (counts + _PRIOR)).log2() + raw_bits
    negative = functional.pad(counts[:, :, _BITS + 1 :], (1, 0))  # no bits, no sign
    return CodeLength(
        bits=nats / math.log(2) + (counts * raw_bits).sum(dim=(1, 2)),
        pixels=each.flatten().float().index_select(0, bins.flatten()).reshape(*levels.shape[:3], -1).sum(dim=3),
        counts=counts[:, :, : _BITS + 1] + negative,
    )


def _activity_and_residual(levels: Tensor) -> Tensor:
    """Of every pixel of (B, H, W[, C]), int16: 256 times how active its surroundings are, plus its residual modulo 256.

    An image lies in a frame of zeros, and its rows one behind the other, so that a pixel's neighbours are the same line
    of numbers begun elsewhere: a few long passes, and what they make of the frame itself is dropped.
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
    """The median edge detector of LOCO-I (eq. 1): west, north, or the plane through all three."""
    low, high = torch.minimum(west, north), torch.maximum(west, north)
    return (west + north - corner).clamp(low, high)


def _bins() -> Tensor:
    """Of each activity, up to where the last context begins, and each residual modulo 256: the bin it is counted in.

    In each context every class has one. A class is a residual's bit length, 0 to 8, and those of negative ones come
    behind these.
    """
    residuals = [level - 2**_BITS if level >= 2 ** (_BITS - 1) else level for level in range(2**_BITS)]
    classes = [abs(r).bit_length() + (_BITS if r < 0 else 0) for r in residuals]
    contexts = [sum(activity >= least for least in _ACTIVITIES) for activity in range(_ACTIVITIES[-1] + 1)]
    return torch.tensor([_CLASSES * context + each for context in contexts for each in classes])


_BIN_OF = _bins()
_RAW_BITS = torch.tensor([0.0, *range(_BITS), *range(_BITS)], dtype=torch.float64)
"""Of each class: the bits below the leading one."""
