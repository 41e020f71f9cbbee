"""Scalings entry by entry: the one that ends a NICE, and the one that keeps a deep flow's layers at unit size."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flows.transforms.transform import Transform

LEAST_STD = 1e-4
"""What hardly varies would ask for a scale beyond all bounds. Far below a grey level, 1/256."""


class DiagonalScaling(Transform):
    """y = exp(s) * x over (B, D); log|det| = sum of s (NICE, section 3.3).

    ``initialise`` sets s so that one batch has standard deviation ``target_std`` in every dimension. Started at zero
    instead, s takes tens of epochs only to grow to the size that MNIST's nearly constant pixels ask for.
    """

    def __init__(self, dimensions: int, target_std: float = 1.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dimensions))
        self.target_std = target_std

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * self.log_scale.exp(), self.log_scale.sum().expand(x.shape[0])

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y * (-self.log_scale).exp(), -self.log_scale.sum().expand(y.shape[0])

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        self.log_scale.copy_((self.target_std / _std(x, dim=0)).log())
        return self(x)[0]

    def extra_repr(self) -> str:
        return f"{self.log_scale.numel()}"


class ActNorm(Transform):
    """y = exp(s) * (x - m), entry by entry over (B, C) or channel by channel over (B, C, ...).

    log|det| = the sum of s, times the places of a channel (Kingma & Dhariwal 2018, "Glow", arXiv:1807.03039, section
    3.1). ``initialise`` makes one batch come out with mean 0 and standard deviation 1; from there on m and s are
    learnt. In front of a flow it takes data of any units to where nets work.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x - _along(self.mean, x)) * _along(self.log_scale.exp(), x), self._log_abs_det(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y * _along((-self.log_scale).exp(), y) + _along(self.mean, y), -self._log_abs_det(y)

    def _log_abs_det(self, x: Tensor) -> Tensor:
        return (self.log_scale.sum() * math.prod(x.shape[2:])).expand(x.shape[0])

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        values = x.transpose(0, 1).flatten(1)
        self.mean.copy_(values.mean(dim=1))
        self.log_scale.copy_(-_std(values, dim=1).log())
        return self(x)[0]

    def extra_repr(self) -> str:
        return f"{self.mean.numel()}"


def _std(x: Tensor, dim: int) -> Tensor:
    """The standard deviation along a dimension, at least ``LEAST_STD``; 1 where all values are the same.

    A layer would else blow up what does not vary, and the next one what that one left: thirteen of them, 1e52-fold.
    """
    same = x.amax(dim) == x.amin(dim)
    std = x.std(dim, correction=min(1, x.shape[dim] - 1))  # one value alone has no spread, and no correction
    return torch.where(same, 1.0, std.clamp_min(LEAST_STD))


def _along(vector: Tensor, x: Tensor) -> Tensor:
    """vector (C,) so that it spreads over x (B, C, ...)."""
    return vector.reshape(-1, *[1] * (x.ndim - 2))
