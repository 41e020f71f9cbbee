"""Elementwise scalings: the last layer of NICE, and activation normalisation for deep flows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flows.transforms.transform import Transform

LEAST_STD = 1e-4
"""A lower bound on standard deviations, far below a grey level: entries that hardly vary need a finite scale."""


class DiagonalScaling(Transform):
    """y = exp(s) * x over (B, D); log|det| = sum of s (NICE, section 3.3).

    ``initialise`` sets s so that one batch has standard deviation ``target_std`` in every dimension. If s starts at 0
    instead, it takes tens of epochs to reach the scale that MNIST's nearly constant pixels need.

    >>> scaling = flows.DiagonalScaling(2, target_std=1.0)
    >>> scaling.initialise(torch.tensor([[0.0, 0.0], [2.0, 200.0]])).std(dim=0)
    tensor([1.0000, 1.0000])
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
    """y = exp(s) * (x - m) for each entry of (B, C), or each channel of (B, C, ...).

    log|det| = the sum of s, times the number of places of a channel (Kingma & Dhariwal 2018, "Glow", arXiv:1807.03039,
    section 3.1). ``initialise`` sets m and s so that one batch gets mean 0 and standard deviation 1; then both are
    learnt. As the first layer, it brings data of any unit to the range where nets work.

    >>> norm = flows.ActNorm(3)
    >>> norm.initialise(5 + torch.randn(10, 3, 4, 4)).mean().abs() < 1e-5
    tensor(True)
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
    """The standard deviation along a dimension, at least ``LEAST_STD``; 1 where all values are equal.

    Without these limits each layer would enlarge the rounding errors of a constant entry: thirteen layers by 1e52.
    """
    same = x.amax(dim) == x.amin(dim)
    std = x.std(dim, correction=min(1, x.shape[dim] - 1))  # a single value has no correction
    return torch.where(same, 1.0, std.clamp_min(LEAST_STD))


def _along(vector: Tensor, x: Tensor) -> Tensor:
    """vector (C,) reshaped to broadcast against x (B, C, ...)."""
    return vector.reshape(-1, *[1] * (x.ndim - 2))
