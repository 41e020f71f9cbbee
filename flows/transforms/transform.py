"""The one interface of the mathematics: an invertible map that knows its log-determinant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn


class Transform(nn.Module):
    """An invertible map y = f(x) of a batch.

    ``forward`` goes from data towards the latent (the NICE paper's direction), ``inverse`` comes back. Both return the
    log-determinant **of the map that they just applied**, log|det dy/dx| or log|det dx/dy|, of shape (B,), in nats: the
    two sum to zero at the same point.
    """

    # nn.Module types its call as Any; a transform promises more.
    __call__: Callable[..., tuple[Tensor, Tensor]]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, ...) -> y (B, ...) and log|det dy/dx| (B,)."""
        raise NotImplementedError

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y (B, ...) -> x (B, ...) and log|det dx/dy| (B,)."""
        raise NotImplementedError

    rearranges: ClassVar[bool] = False
    """Whether it does nothing but move entries about, so that anything of y's shape can be moved back."""

    def put_back(self, y: Tensor) -> Tensor:
        """Anything of y's shape (B, ...) -> the same entries, each where the entry of x stands that it came from.

        Of a transform that computes something, y's entries stand where x's do.
        """
        return self.inverse(y)[0] if self.rearranges else y

    def continues(self, before: Transform) -> bool:  # noqa: ARG002
        """Whether ``before`` and this one can run as one, for speed: ``Compose`` then calls ``run`` for both."""
        return False

    @staticmethod
    def run(chain: Sequence[Transform], x: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Transforms that continue each other, in the order in which they apply: what they come to, one by one.

        ``inverse`` applies their inverses. A subclass whose transforms continue each other has a faster way.
        """
        total = no_volume_change(x)
        for step in chain:
            x, log_abs_det = step.inverse(x) if inverse else step(x)
            total = total + log_abs_det
        return x, total

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Set data-dependent parameters from one batch x of the training set; returns f(x) for the transform behind.

        Most transforms have none and only pass the batch on.
        """
        return self(x)[0]


class Compose(Transform):
    """f = f_k ∘ ... ∘ f_1; log-determinants add up (the chain rule)."""

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


def no_volume_change(x: Tensor) -> Tensor:
    """The log-determinant of a map that preserves volume: zeros (B,) beside x."""
    return x.new_zeros(x.shape[0])
