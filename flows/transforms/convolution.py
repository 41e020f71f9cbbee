"""The invertible 1x1 convolution of Glow: a learnt mixing of channels in place of a fixed permutation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flows.errors import ShapeMismatch
from flows.transforms.transform import Transform


class InvertibleConvolution(Transform):
    """y = W x at every place of (B, C, ...), with W = P L U; log|det| = the sum of s, times the places.

    P is a permutation, L lower triangular with ones on its diagonal, and U upper triangular with exp(s) on its own, so
    that the determinant costs nothing and W has an inverse whatever is learnt (Kingma & Dhariwal 2018, "Glow",
    arXiv:1807.03039, section 3.2 and eq. 11). W starts as a random rotation.
    """

    order: Tensor
    """(C,) numbers that P sorts: whatever they are, even read from a damaged file, P is a permutation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        # A column of a rotation may change its sign, and it stays one: so the diagonal of U can be positive.
        upper = upper * upper.diagonal().sign()
        self.register_buffer("order", permutation.argmax(dim=0).to(rotation.dtype))
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_scale = nn.Parameter(upper.diagonal().log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # Latents stay in the type that they have, also where autocast lets nets multiply in a half type.
        with torch.autocast(x.device.type, enabled=False):
            lower, upper = self._factors()
            return self._mix(x, (lower @ upper)[self.order.argsort()]), self._log_abs_det(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(y.device.type, enabled=False):
            lower, upper = self._factors()
            sorting = torch.eye(len(lower), dtype=y.dtype, device=y.device)[:, self.order.argsort()]
            unmixed = torch.linalg.solve_triangular(lower, sorting, upper=False, unitriangular=True)
            matrix = torch.linalg.solve_triangular(upper, unmixed, upper=True)
            return self._mix(y, matrix), -self._log_abs_det(y)

    def _factors(self) -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(self.log_scale).diag()
        return self.lower.tril(-1) + ones, self.upper.triu(1) + self.log_scale.exp().diag()

    def _mix(self, x: Tensor, matrix: Tensor) -> Tensor:
        if x.shape[1] != len(matrix):
            raise ShapeMismatch(f"expected (B, {len(matrix)}, ...), got {tuple(x.shape)}")
        return torch.einsum("dc,bc...->bd...", matrix, x)

    def _log_abs_det(self, x: Tensor) -> Tensor:
        return (self.log_scale.sum() * math.prod(x.shape[2:])).expand(x.shape[0])

    def extra_repr(self) -> str:
        return f"{len(self.log_scale)}"
