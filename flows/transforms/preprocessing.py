"""Preprocessing as transforms, so that no log-determinant is lost between the trainer and the service."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.errors import ArchitectureError, InputOutsideDomain, ShapeMismatch
from flows.transforms.transform import Transform, no_volume_change


class Dequantise(Transform):
    """Integer pixels k in 0 .. levels-1 to points of [0, 1): y = (k + u) / levels with u uniform in [0, 1).

    The mean log-density of such y bounds the log-probability of the integers from below, up to D ln(levels) (Theis, van
    den Oord & Bethge 2016, "A note on the evaluation of generative models", section 3.1). ``forward`` draws u afresh
    for every pixel of every item, or takes it from the caller; ``inverse`` gives the integers back whatever u was.
    log|det| = -D ln(levels).
    """

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, ...) integers of any dtype, noise like x in [0, 1) -> y (B, ...) floating, log|det| (B,)."""
        values = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        if noise is None:
            noise = torch.rand_like(values)
        # k + u must not round up to k + 1, or the inverse would answer with the next grey level.
        noise = noise.clamp(max=1 - self.levels * torch.finfo(values.dtype).eps)
        return (values + noise) / self.levels, -self._log_volume(values)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, ...) -> the integers (B, ...) as floats; what lies outside [0, 1) goes to the nearest level."""
        return (y * self.levels).floor().clamp(0, self.levels - 1), self._log_volume(y)

    def _log_volume(self, x: Tensor) -> Tensor:
        return x.new_full((x.shape[0],), math.prod(x.shape[1:]) * math.log(self.levels))

    def extra_repr(self) -> str:
        return f"levels={self.levels}"


class Logit(Transform):
    """y = logit(alpha + (1 - 2 alpha) x): the unit interval to the line, where an unbounded prior can follow it.

    log|dy/dx| = log(1 - 2 alpha) - log p - log(1 - p) with p what the logit is taken of. alpha keeps both ends at a
    finite place (Dinh, Sohl-Dickstein & Bengio 2017, "Real NVP", arXiv:1605.08803, section 4.1, where one end has it).
    """

    def __init__(self, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise ArchitectureError(f"alpha must lie between 0 and 0.5, got {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, ...) in [0, 1]. Raises InputOutsideDomain where the logit has no value; NaN passes."""
        p = self.alpha + (1 - 2 * self.alpha) * x
        if bool(((p <= 0) | (p >= 1)).any()):
            raise InputOutsideDomain("a flow behind a logit knows values in [0, 1] only")
        y = torch.logit(p)
        return y, -self._log_slope(y)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return (y.sigmoid() - self.alpha) / (1 - 2 * self.alpha), self._log_slope(y)

    def _log_slope(self, y: Tensor) -> Tensor:
        """log|det dx/dy| (B,), from the logits."""
        slopes = -functional.softplus(y) - functional.softplus(-y) - math.log(1 - 2 * self.alpha)
        return slopes.flatten(1).sum(dim=1)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Flatten(Transform):
    """(B, *shape) to (B, D) in row-major order; preserves volume."""

    rearranges = True

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if tuple(x.shape[1:]) != self.shape:
            raise ShapeMismatch(f"expected items of shape {self.shape}, got {tuple(x.shape[1:])}")
        return x.flatten(1), no_volume_change(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y.reshape(y.shape[0], *self.shape), no_volume_change(y)

    def extra_repr(self) -> str:
        return f"{self.shape}"


class Centre(Transform):
    """y = x - mean, the mean item of the training set, kept as a buffer; preserves volume.

    ``initialise`` takes the mean of the batch it is given; a trainer that wants the mean of the whole training set
    passes all of it, or sets ``mean`` itself.
    """

    mean: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimensions))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x - self.mean, no_volume_change(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y + self.mean, no_volume_change(y)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        self.mean.copy_(x.mean(dim=0))
        return self(x)[0]

    def extra_repr(self) -> str:
        return f"{self.mean.numel()}"
