"""Preprocessing as transforms of the flow, so that no log-determinant is lost between trainer and service."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.errors import ArchitectureError, ShapeMismatch
from flows.transforms.transform import Transform, no_volume_change, within_domain


class Dequantise(Transform):
    """y = (k + u) / levels for integer pixels k in 0 ... levels - 1, with u uniform in [0, 1).

    log|det| = -D ln(levels). The mean log-density of y is a lower bound on the log-probability of the integers, up to
    D ln(levels) (Theis, van den Oord & Bethge 2016, "A note on the evaluation of generative models", section 3.1).
    ``forward`` draws a new u for every pixel, or takes it from the caller. ``inverse`` returns the integers for any u.

    >>> dequantise = flows.Dequantise()
    >>> y, log_abs_det = dequantise(torch.tensor([[0, 128, 255]]), noise=torch.full((1, 3), 0.5))
    >>> y
    tensor([[0.0020, 0.5020, 0.9980]])
    >>> dequantise.inverse(y)[0]
    tensor([[  0., 128., 255.]])
    """

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Integers x (B, ...) of any dtype, noise (B, ...) in [0, 1) -> floating-point y (B, ...) and log|det| (B,)."""
        values = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        if noise is None:
            noise = torch.rand_like(values)
        # k + u must not round up to k + 1: the inverse would then return the next grey level.
        noise = noise.clamp(max=1 - self.levels * torch.finfo(values.dtype).eps)
        return (values + noise) / self.levels, -self._log_volume(values)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, ...) -> the integers (B, ...) as floats. Values outside [0, 1) give the nearest level."""
        return (y * self.levels).floor().clamp(0, self.levels - 1), self._log_volume(y)

    def _log_volume(self, x: Tensor) -> Tensor:
        return x.new_full((x.shape[0],), math.prod(x.shape[1:]) * math.log(self.levels))

    def extra_repr(self) -> str:
        return f"levels={self.levels}"


class Logit(Transform):
    """y = logit(p) with p = alpha + (1 - 2 alpha) x: maps [0, 1] to the real line, the domain of an unbounded prior.

    log|dy/dx| = log(1 - 2 alpha) - log p - log(1 - p), summed over entries. alpha keeps y finite at both ends. Real NVP
    (Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803, section 4.1) does so at one end.

    >>> flows.Logit(alpha=0.05)(torch.tensor([[0.0, 0.5, 1.0]]))[0]
    tensor([[-2.9444,  0.0000,  2.9444]])
    """

    def __init__(self, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise ArchitectureError(f"alpha must be between 0 and 0.5, got {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, ...) with p in (0, 1), as for x in [0, 1] (see ``within_domain``); NaN stays NaN."""
        p = self.alpha + (1 - 2 * self.alpha) * x
        inside = ~((p <= 0) | (p >= 1))
        p = within_domain(p, inside, "a flow with a logit is defined for values in [0, 1] only")
        y = torch.logit(p)
        return y, -self._log_slope(y)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return (y.sigmoid() - self.alpha) / (1 - 2 * self.alpha), self._log_slope(y)

    def _log_slope(self, y: Tensor) -> Tensor:
        """log|det dx/dy| (B,) at y."""
        slopes = -functional.softplus(y) - functional.softplus(-y) - math.log(1 - 2 * self.alpha)
        return slopes.flatten(1).sum(dim=1)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Flatten(Transform):
    """(B, *shape) to (B, D) in row-major order; preserves volume.

    >>> flows.Flatten((2, 3))(torch.zeros(5, 2, 3))[0].shape
    torch.Size([5, 6])
    """

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


class Unflatten(Transform):
    """(B, D) to (B, *shape) in row-major order; preserves volume. The inverse of ``Flatten``.

    >>> flows.Unflatten((2, 3))(torch.zeros(5, 6))[0].shape
    torch.Size([5, 2, 3])
    """

    rearranges = True

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.ndim != 2 or x.shape[1] != math.prod(self.shape):
            raise ShapeMismatch(f"expected (B, {math.prod(self.shape)}), got {tuple(x.shape)}")
        return x.reshape(x.shape[0], *self.shape), no_volume_change(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y.flatten(1), no_volume_change(y)

    def extra_repr(self) -> str:
        return f"{self.shape}"


class Centre(Transform):
    """y = x - mean over (B, D), with the mean item of the training set as a buffer; preserves volume.

    ``initialise`` takes the mean of its batch. A trainer that wants the mean of the whole training set passes all of
    it, or sets ``mean``.

    >>> flows.Centre(2).initialise(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    tensor([[-1., -2.],
            [ 1.,  2.]])
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
