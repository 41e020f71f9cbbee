"""Coupling layers: one part of the input decides how the other is changed, so the inverse is as cheap as the forward.

Dinh, Krueger & Bengio, "NICE: Non-linear Independent Components Estimation", 2014 (arXiv:1410.8516), section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows.errors import ShapeMismatch
from flows.transform import Transform, no_volume_change


class EvenOdd(nn.Module):
    """Splits (B, D) vectors into every other entry: parity 0 keeps entries 0, 2, 4 ..., parity 1 keeps 1, 3, 5 ...

    Stacking couplings of alternating parity lets every entry be changed (NICE, section 3.2).
    """

    def __init__(self, dimensions: int, parity: int) -> None:
        super().__init__()
        if dimensions < 2:
            raise ShapeMismatch(f"a coupling needs at least two dimensions to split, not {dimensions}")
        self.dimensions, self.parity = dimensions, parity % 2
        evens = (dimensions + 1) // 2
        self.kept = evens if self.parity == 0 else dimensions - evens
        self.changed = dimensions - self.kept

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) -> kept (B, kept), changed (B, changed)."""
        if x.ndim != 2 or x.shape[1] != self.dimensions:
            raise ShapeMismatch(f"expected (B, {self.dimensions}), got {tuple(x.shape)}")
        return x[:, self.parity :: 2], x[:, 1 - self.parity :: 2]

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """The inverse of the split: kept and changed back into (B, D)."""
        pair = (kept, changed) if self.parity == 0 else (changed, kept)
        if self.kept == self.changed:
            return torch.stack(pair, dim=2).flatten(1)
        y = kept.new_empty(kept.shape[0], self.dimensions)
        y[:, 0::2], y[:, 1::2] = pair
        return y

    def extra_repr(self) -> str:
        return f"{self.dimensions}, parity={self.parity}"


class Coupling(Transform):
    """y_kept = x_kept, y_changed = g(x_changed; net(x_kept)), with g invertible in its first argument (NICE, eq. 4).

    A subclass says what g is: ``couple`` and ``uncouple``, each answering with its own log-determinant.
    """

    def __init__(self, split: EvenOdd, net: nn.Module) -> None:
        super().__init__()
        self.split, self.net = split, net

    def couple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def uncouple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, changed = self.split(x)
        changed, log_abs_det = self.couple(changed, self.net(kept))
        return self.split.merge(kept, changed), log_abs_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        kept, changed = self.split(y)
        changed, log_abs_det = self.uncouple(changed, self.net(kept))
        return self.split.merge(kept, changed), log_abs_det


class AdditiveCoupling(Coupling):
    """g(x; m) = x + m: preserves volume, so its log-determinant is zero (NICE, section 3.2)."""

    def couple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return changed + parameters, no_volume_change(changed)

    def uncouple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return changed - parameters, no_volume_change(changed)
