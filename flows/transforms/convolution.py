"""The invertible 1x1 convolution of Glow: a learnt mixing of channels instead of a fixed permutation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flows.errors import ShapeMismatch
from flows.transforms.transform import Transform


class InvertibleConvolution(Transform):
    """y = W x at every place of (B, C, ...), with W = P L U; log|det| = the sum of s, times the number of places.

    P is a permutation, L is lower triangular with ones on the diagonal, U is upper triangular with exp(s) on the
    diagonal. So the determinant is known and W is invertible for all weights (Kingma & Dhariwal 2018, "Glow",
    arXiv:1807.03039, section 3.2 and eq. 11). W starts as a random rotation.

    >>> mixing = flows.InvertibleConvolution(3)
    >>> x = torch.randn(2, 3, 4, 4)
    >>> torch.allclose(mixing.inverse(mixing(x)[0])[0], x, atol=1e-4)
    True
    """

    order: Tensor
    """(C,): P sorts these numbers. P is a permutation for any values, even those of a damaged file."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        # Flip signs of columns so that the diagonal of U is positive. The matrix stays orthogonal.
        upper = upper * upper.diagonal().sign()
        self.register_buffer("order", permutation.argmax(dim=0).to(rotation.dtype))
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_scale = nn.Parameter(upper.diagonal().log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # Autocast to a half type is meant for nets: latents keep their own type.
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
