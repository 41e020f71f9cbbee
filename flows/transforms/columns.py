"""Dequantisation of a table's columns: each value of a column with steps becomes a point within half a step of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flows.errors import ArchitectureError, ShapeMismatch
from flows.transforms.transform import Transform, no_volume_change


class DequantiseColumns(Transform):
    """y = x + step (u - 1/2) with u uniform in (0, 1), for vectors (B, D) whose values are multiples of each step.

    A step of 0 leaves a column as it is. For given u this is a translation, so log|det| = 0 and the density stays in
    the units of the data. By Jensen's inequality the logarithm of the probability of a vector of discrete values is at
    least the mean over u of the log-density of y, plus the sum of the logarithms of the steps (Theis, van den Oord &
    Bethge 2016, "A note on the evaluation of generative models", section 3.1).

    ``forward`` draws a new u for every entry, or takes it from the caller. ``inverse`` returns the nearest multiples.
    ``levels`` bounds a column of categories, which are 0 ... levels - 1; 0 for any other.

    >>> dequantise = flows.DequantiseColumns([0.0, 1.0, 0.5])
    >>> y, log_abs_det = dequantise(torch.tensor([[0.3, 2.0, 1.5]]), noise=torch.full((1, 3), 0.75))
    >>> y
    tensor([[0.3000, 2.2500, 1.6250]])
    >>> dequantise.inverse(y)[0]
    tensor([[0.3000, 2.0000, 1.5000]])
    """

    steps: Tensor
    highest: Tensor

    def __init__(self, steps: Sequence[float], levels: Sequence[int] = ()) -> None:
        super().__init__()
        if levels and len(levels) != len(steps):
            raise ArchitectureError(f"levels must have an entry for each of {len(steps)} columns, got {len(levels)}")
        # Follow from the arguments, so they are not saved; made on the CPU, so that they exist before weights are read.
        made = torch.tensor(list(steps), dtype=torch.float32, device="cpu")
        self.register_buffer("steps", made, persistent=False)
        tops = [float(count - 1) if count else float("inf") for count in levels or [0] * len(steps)]
        self.register_buffer("highest", torch.tensor(tops, dtype=torch.float32, device="cpu"), persistent=False)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, D), noise (B, D) in (0, 1) -> y (B, D) and log|det| (B,). NaN, a missing value, stays NaN."""
        if x.ndim != 2 or x.shape[1] != len(self.steps):
            raise ShapeMismatch(f"expected (B, {len(self.steps)}), got {tuple(x.shape)}")
        if noise is None:
            noise = torch.rand_like(x)
        y = x + self.steps.to(x.dtype) * (noise.to(x.dtype) - 0.5)
        # Of a large value the sum may round to the border of its step, and the inverse then to the next value.
        comes_back = self.inverse(y)[0] == self.inverse(x)[0]
        return torch.where(comes_back, y, x), no_volume_change(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        steps = self.steps.to(y.dtype)
        grid = torch.where(steps > 0, steps, 1.0)
        nearest = (y / grid).round() * grid
        bounded = torch.where(self.highest.isfinite(), nearest.clamp_min(0), nearest).minimum(self.highest.to(y.dtype))
        return torch.where(steps > 0, bounded, y), no_volume_change(y)

    def extra_repr(self) -> str:
        return f"{len(self.steps)}, with steps={int((self.steps > 0).sum())}"


def columns_of(item_shape: Sequence[int], steps: Sequence[float], levels: Sequence[int]) -> DequantiseColumns | None:
    """The dequantisation of a table's rows, or None without ``steps``. Raises ArchitectureError unless they fit."""
    if not steps:
        return None
    if tuple(item_shape) != (len(steps),):
        raise ArchitectureError(
            f"steps must have an entry for each entry of items {tuple(item_shape)}, got {len(steps)}"
        )
    return DequantiseColumns(steps, levels)
