"""The interface of all transforms: an invertible map that knows its log-determinant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn


class Transform(nn.Module):
    """An invertible map y = f(x) of a batch.

    ``forward`` goes from data towards the latent (the direction of the NICE paper), ``inverse`` goes back. Each returns
    the log-determinant **of the map that it applied**, log|det dy/dx| or log|det dx/dy|, of shape (B,), in nats. At the
    same point the two sum to zero.

    >>> transform = flows.DiagonalScaling(3)
    >>> y, log_abs_det = transform(torch.ones(2, 3))
    >>> x, log_abs_det_of_inverse = transform.inverse(y)
    >>> log_abs_det + log_abs_det_of_inverse
    tensor([0., 0.], grad_fn=<AddBackward0>)
    """

    # nn.Module declares the result of a call as Any.
    __call__: Callable[..., tuple[Tensor, Tensor]]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, ...) -> y (B, ...) and log|det dy/dx| (B,)."""
        raise NotImplementedError

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, ...) -> x (B, ...) and log|det dx/dy| (B,)."""
        raise NotImplementedError

    rearranges: ClassVar[bool] = False
    """Whether the transform only moves entries, so that any tensor of y's shape can be moved back."""

    def put_back(self, y: Tensor) -> Tensor:
        """Move the entries of a tensor of y's shape (B, ...) to the places in x that they come from.

        A transform that computes values leaves entries where they are.
        """
        return self.inverse(y)[0] if self.rearranges else y

    def continues(self, before: Transform) -> bool:  # noqa: ARG002
        """Whether this transform and the one before it can run together: ``Compose`` then calls ``run`` once."""
        return False

    @staticmethod
    def run(chain: Sequence[Transform], x: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Apply transforms that continue each other, in the given order; with ``inverse``, apply their inverses.

        A subclass whose transforms continue each other overrides this with something faster.
        """
        total = no_volume_change(x)
        for step in chain:
            x, log_abs_det = step.inverse(x) if inverse else step(x)
            total = total + log_abs_det
        return x, total

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Set data-dependent parameters from one batch x of the training set; returns f(x) for the next transform.

        Most transforms have no such parameters and only compute f(x).
        """
        return self(x)[0]


class Compose(Transform):
    """f = f_k ∘ ... ∘ f_1. Log-determinants add up (chain rule).

    >>> flatten_and_scale = flows.Compose([flows.Flatten((2, 3)), flows.DiagonalScaling(6)])
    >>> flatten_and_scale(torch.zeros(4, 2, 3))[0].shape
    torch.Size([4, 6])
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(transforms)

    def __iter__(self) -> Iterator[Transform]:
        return iter(cast(Iterable[Transform], self.steps))

    def __len__(self) -> int:
        return len(self.steps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = no_volume_change(x)
        for chain in self._chains():
            x, log_abs_det = chain[0].run(chain, x)
            total = total + log_abs_det
        return x, total

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        total = no_volume_change(y)
        for chain in reversed(self._chains()):
            y, log_abs_det = chain[0].run(chain[::-1], y, inverse=True)
            total = total + log_abs_det
        return y, total

    def put_back(self, y: Tensor) -> Tensor:
        for step in reversed(list(self)):
            y = step.put_back(y)
        return y

    def _chains(self) -> list[list[Transform]]:
        chains: list[list[Transform]] = []
        for step in self:
            if chains and step.continues(chains[-1][-1]):
                chains[-1].append(step)
            else:
                chains.append([step])
        return chains

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        for step in self:
            x = step.initialise(x)
        return x


def is_true(condition: Tensor) -> bool:
    """The value of a condition (), or False while a CUDA graph or a compiler records: then there is none yet."""
    recording = torch.compiler.is_compiling() or (condition.is_cuda and torch.cuda.is_current_stream_capturing())
    return not recording and bool(condition)


def no_volume_change(x: Tensor) -> Tensor:
    """The log-determinant of a map that preserves volume: zeros (B,) in the dtype and on the device of x."""
    return x.new_zeros(x.shape[0])
