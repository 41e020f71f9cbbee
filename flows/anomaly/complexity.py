"""How many bits an image needs without any model: what makes smooth foreign pictures look likely.

A flow gives simple pictures a high likelihood whatever they show; the length of a general-purpose lossless code tells
how simple a picture is (Serrà et al. 2020, "Input complexity and out-of-distribution detection with likelihood-based
generative models").
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor


def code_length(levels: Tensor) -> Tensor:
    """Bits (B,), float64, of 8-bit images (B, H, W) or (B, H, W, C): DEFLATE over the residuals of a predictor.

    DEFLATE alone sees bytes, not pictures; the predictor turns smooth areas into runs of zeros.
    """
    residuals = (levels.to(torch.int16) - _predicted(levels)).to(torch.uint8).cpu().numpy()
    return torch.tensor([8.0 * len(zlib.compress(image.tobytes())) for image in residuals], dtype=torch.float64)


def _predicted(levels: Tensor) -> Tensor:
    """The median edge detector of LOCO-I (Weinberger, Seroussi & Sapiro 2000, eq. 1): west, north, or their plane."""
    values = levels.to(torch.int16)
    framed = values.new_zeros(values.shape[0], values.shape[1] + 1, values.shape[2] + 1, *values.shape[3:])
    framed[:, 1:, 1:] = values
    west, north, corner = framed[:, 1:, :-1], framed[:, :-1, 1:], framed[:, :-1, :-1]
    low, high = torch.minimum(west, north), torch.maximum(west, north)
    return (west + north - corner).clamp(low, high)
