"""Coupling layers: one part of the input determines how the other is changed, so inverse and forward cost the same.

Dinh, Krueger & Bengio, "NICE: Non-linear Independent Components Estimation", 2014 (arXiv:1410.8516), section 3.
Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017 (arXiv:1605.08803), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from flows.errors import ShapeMismatch
from flows.transforms.transform import Transform, no_volume_change


class Split(nn.Module):
    """Splits a batch into a kept and a changed part along dimension 1 (entries or channels).

    A subclass implements ``forward`` and ``merge`` and sets ``kept`` and ``changed``, the sizes of both parts.

    >>> split = flows.EvenOdd(3, parity=0)
    >>> split.kept, split.changed
    (2, 1)
    """

    __call__: Callable[..., tuple[Tensor, Tensor]]
    kept: int
    changed: int

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, ...) -> the parts (B, kept, ...) and (B, changed, ...)."""
        raise NotImplementedError

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """The inverse of the split: both parts -> x (B, ...)."""
        raise NotImplementedError

    def alternates(self, before: Split) -> bool:  # noqa: ARG002
        """Whether this split keeps what ``before`` changes, and changes what ``before`` keeps."""
        return False


class EvenOdd(Split):
    """Splits vectors (B, D) into even and odd entries: parity 0 keeps entries 0, 2, 4, ..., parity 1 keeps 1, 3, 5, ...

    Couplings of alternating parity change every entry (NICE, section 3.2).

    >>> flows.EvenOdd(4, parity=1)(torch.tensor([[0, 1, 2, 3]]))
    (tensor([[1, 3]]), tensor([[0, 2]]))
    """

    def __init__(self, dimensions: int, parity: int) -> None:
        super().__init__()
        if dimensions < 2:
            raise ShapeMismatch(f"a coupling needs at least two dimensions to split, got {dimensions}")
        self.dimensions, self.parity = dimensions, parity % 2
        evens = (dimensions + 1) // 2
        self.kept = evens if self.parity == 0 else dimensions - evens
        self.changed = dimensions - self.kept

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, D) -> kept (B, kept), changed (B, changed)."""
        if x.ndim != 2 or x.shape[1] != self.dimensions:
            raise ShapeMismatch(f"expected (B, {self.dimensions}), got {tuple(x.shape)}")
        if self.kept == self.changed:  # views, whose gradients autograd joins in one pass
            even, odd = x.reshape(len(x), self.kept, 2).unbind(dim=2)
            return (even, odd) if self.parity == 0 else (odd, even)
        return x[:, self.parity :: 2], x[:, 1 - self.parity :: 2]

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """The inverse of the split: both parts -> (B, D)."""
        pair = (kept, changed) if self.parity == 0 else (changed, kept)
        if self.kept == self.changed:
            return torch.stack(pair, dim=2).flatten(1)
        y = kept.new_empty(kept.shape[0], self.dimensions)
        y[:, 0::2], y[:, 1::2] = pair
        return y

    def alternates(self, before: Split) -> bool:
        return isinstance(before, EvenOdd) and before.parity != self.parity

    def extra_repr(self) -> str:
        return f"{self.dimensions}, parity={self.parity}"


class Coupling(Transform):
    """y_kept = x_kept, y_changed = g(x_changed; net(x_kept)), with g invertible in its first argument (NICE, eq. 4).

    ``split`` decides which part is kept; ``net`` maps it to the parameters of g and may be any module. A subclass
    implements g as ``couple`` and its inverse as ``uncouple``.

    >>> split = flows.EvenOdd(4, parity=0)
    >>> coupling = flows.AffineCoupling(split, flows.MLP(split.kept, [8], 2 * split.changed))
    >>> isinstance(coupling, flows.Coupling)
    True
    """

    def __init__(self, split: Split, net: nn.Module) -> None:
        super().__init__()
        self.split, self.net = split, net

    def couple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """g(changed; parameters) and its log-determinant (B,)."""
        raise NotImplementedError

    def uncouple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of g in its first argument, and the log-determinant (B,) of the inverse."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.run([self], x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.run([self], y, inverse=True)

    def continues(self, before: Transform) -> bool:
        return isinstance(before, Coupling) and self.split.alternates(before.split)

    @staticmethod
    def run(chain: Sequence[Transform], x: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Apply couplings of alternating splits with one split and one merge: each changes what the one before kept.

        Every other entry of a vector is a strided access. Splitting and merging in each coupling would take a hundredth
        of a training step of the paper's flow.
        """
        couplings = cast("Sequence[Coupling]", chain)
        changed, kept = couplings[0].split(x)
        total = no_volume_change(x)
        for coupling in couplings:
            kept, changed = changed, kept
            parameters = coupling.net(kept)
            changed, log_abs_det = (coupling.uncouple if inverse else coupling.couple)(changed, parameters)
            total = total + log_abs_det
        return couplings[-1].split.merge(kept, changed), total

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        # The batch may have thousands of items, and the activations of a net are many times as large.
        return torch.cat([self(part)[0] for part in torch.split(x, 500)])


class AdditiveCoupling(Coupling):
    """g(x; m) = x + m. Preserves volume: the log-determinant is zero (NICE, section 3.2).

    >>> split = flows.EvenOdd(4, parity=0)
    >>> coupling = flows.AdditiveCoupling(split, flows.MLP(split.kept, [8], split.changed))
    >>> coupling(torch.zeros(3, 4))[1]
    tensor([0., 0., 0.])
    """

    def couple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return changed + parameters, no_volume_change(changed)

    def uncouple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return changed - parameters, no_volume_change(changed)


class AffineCoupling(Coupling):
    """g(x; r, t) = x * exp(s) + t with s = b tanh(r / b); log|det| = sum of s (Real NVP, eqs. 4, 6 and 8).

    The net returns r and t: twice as many entries as the coupling changes. The paper learns the bound b on the
    log-scale; here it is fixed, at 3 by default, so no input and no weights can scale an entry by more than e^3.

    >>> split = flows.EvenOdd(4, parity=0)
    >>> coupling = flows.AffineCoupling(split, flows.MLP(split.kept, [8], 2 * split.changed))
    >>> y, log_abs_det = coupling(torch.randn(3, 4))
    >>> y.shape, log_abs_det.shape
    (torch.Size([3, 4]), torch.Size([3]))
    """

    def __init__(self, split: Split, net: nn.Module, bound: float = 3.0) -> None:
        super().__init__(split, net)
        self.bound = bound

    def couple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._scale_and_shift(parameters)
        return changed * log_scale.exp() + shift, log_scale.flatten(1).sum(dim=1)

    def uncouple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._scale_and_shift(parameters)
        return (changed - shift) * (-log_scale).exp(), -log_scale.flatten(1).sum(dim=1)

    def _scale_and_shift(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = parameters.chunk(2, dim=1)
        return self.bound * (raw / self.bound).tanh(), shift
