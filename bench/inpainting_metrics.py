"""How near a completion is to the truth on its hidden pixels, and how far completions are from each other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def psnr(completed: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Decibels (B,) over the hidden pixels of pictures (B, H, W) in [0, 1]; 99 where they are equal."""
    error = mean_over(hidden, (completed - truth).square())
    return (-10 * error.log10()).clamp(max=99)


def ssim(completed: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Structural similarity (B,), averaged over the hidden pixels of pictures (B, H, W) in [0, 1].

    Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment: from error visibility to structural similarity",
    equation 13, with their Gaussian window of 11 pixels and a deviation of 1.5; mirrored at the borders.
    """
    place = torch.arange(-5, 6, dtype=truth.dtype)
    line = (-place.square() / (2 * 1.5**2)).exp()
    window = (line[:, None] * line)[None, None] / line.sum() ** 2

    def local(pictures: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(pictures[:, None], (5,) * 4, mode="reflect"), window)[:, 0]

    mean_a, mean_b = local(completed), local(truth)
    variance_a = local(completed.square()) - mean_a.square()
    variance_b = local(truth.square()) - mean_b.square()
    covariance = local(completed * truth) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return mean_over(hidden, luminance * structure)


def diversity(completions: Tensor, hidden: Tensor) -> Tensor:
    """The standard deviation (B,) of n completions (n, B, H, W) of one picture, averaged over its hidden pixels."""
    return mean_over(hidden, completions.std(dim=0))


def mean_over(hidden: Tensor, values: Tensor) -> Tensor:
    """The mean (B,) of values (B, H, W) where hidden."""
    return torch.where(hidden, values, 0.0).flatten(1).sum(dim=1) / hidden.flatten(1).sum(dim=1)
