"""The diagonal scaling that ends a NICE: which latent directions matter, and by how much."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows.transform import Transform


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
        # A dimension that does not vary at all would ask for an infinite scale; 1e-4 is far below a grey level (1/256).
        std = x.std(dim=0).clamp_min(1e-4)
        self.log_scale.copy_((self.target_std / std).log())
        return self(x)[0]

    def extra_repr(self) -> str:
        return f"{self.log_scale.numel()}"
