"""The state of a batch of inpaintings: one row each, at its own place of its own schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from flows.errors import FlowError


@dataclass(frozen=True)
class Climb:
    """Inpaintings under one method, B rows that know nothing of each other; S is the item shape.

    A row leaves by ``select`` and joins by ``cat`` between any two steps. Everything that belongs to a row travels with
    it, its noise included, so that its neighbours change nothing but the last bits of a matrix product. Log-likelihoods
    are in nats, gradients in nats per unit of x.
    """

    method: str
    x: Tensor
    """(B, *S) where the rows stand; the known entries are those given, bit for bit."""
    hidden: Tensor
    """(B, *S) bool: the entries to fill in."""
    spread: Tensor
    """(B, *S) the standard deviation of each entry in the flow's own samples: a length that suits it."""
    keys: Tensor
    """(B,) int64: each row's stream of noise."""
    step: Tensor
    """(B,) int64: steps taken."""
    steps: Tensor
    """(B,) int64: steps after which the row ends whether it has converged or not."""
    step_size: Tensor
    """(B,) multiplies the method's own step."""
    temperature: Tensor
    """(B,) multiplies the method's own noise."""
    log_prob: Tensor
    """(B,) of x."""
    gradient: Tensor
    """(B, *S) of log_prob with respect to x, zero at the known entries; no number in a method that follows none."""
    best: Tensor
    """(B, *S) the likeliest point so far."""
    best_log_prob: Tensor
    """(B,) of best."""
    start_log_prob: Tensor
    """(B,) of the point that the row set out from."""
    done: Tensor
    """(B,) bool: converged, or at its limit. Further steps leave the row as it is."""
    converged: Tensor
    """(B,) bool: done because nothing more was to be gained, rather than out of steps."""
    proposed: Tensor
    """(B,) int64: proposals that a Metropolis test judged; none in a method that has no such test."""
    accepted: Tensor
    """(B,) int64: those of them that it let pass."""
    samples: bool = False
    """Whether the answer is where the row stands, a draw, or the likeliest point that it came by."""
    state: dict[str, Tensor] = field(default_factory=dict)
    """What the method itself remembers (moments, step sizes), rows first."""

    def __len__(self) -> int:
        return len(self.x)

    @property
    def grad_norm(self) -> Tensor:
        """(B,) the Euclidean norm of the gradient at x over the hidden entries; no number where there is none."""
        norm: Tensor = torch.linalg.vector_norm(self.gradient.flatten(1), dim=1)
        return norm

    @property
    def acceptance(self) -> Tensor:
        """(B,) accepted over proposed; 1 while nothing has been proposed."""
        rate: Tensor = torch.where(self.proposed > 0, self.accepted / self.proposed.clamp_min(1), 1.0)
        return rate

    def result(self) -> Tensor:
        """x (B, *S): the completions, with the known entries as they were given."""
        return self.x if self.samples else self.best

    def select(self, index: Tensor | Sequence[int]) -> Climb:
        """The rows of an index, (K,) integers or (B,) bool, in its order."""
        rows = torch.as_tensor(index, device=self.x.device)
        return self._with(lambda name: self._tensor(name)[rows])

    @staticmethod
    def cat(climbs: Sequence[Climb]) -> Climb:
        """One batch of the rows of several, in order. All must be of one method and one item shape."""
        first = climbs[0]
        if any(climb.method != first.method for climb in climbs):
            raise FlowError(f"climbs of different methods do not batch: {sorted({c.method for c in climbs})}")
        return first._with(lambda name: torch.cat([climb._tensor(name) for climb in climbs]))

    def where(self, rows: Tensor, other: Climb) -> Climb:
        """This climb in the rows (B,) bool, and the other one elsewhere."""

        def choose(name: str) -> Tensor:
            mine = self._tensor(name)
            return torch.where(along(rows, mine), mine, other._tensor(name))

        return self._with(choose)

    def _names(self) -> Iterator[str]:
        yield from (f.name for f in fields(self) if isinstance(getattr(self, f.name), Tensor))
        yield from (f"state.{name}" for name in self.state)

    def _tensor(self, name: str) -> Tensor:
        tensor: Tensor = self.state[name[6:]] if name.startswith("state.") else getattr(self, name)
        return tensor

    def _with(self, tensor: Callable[[str], Tensor]) -> Climb:
        made = {name: tensor(name) for name in self._names()}
        state = {name[6:]: made.pop(name) for name in list(made) if name.startswith("state.")}
        return replace(self, state=state, **made)  # type: ignore[arg-type]


def along(rows: Tensor, like: Tensor) -> Tensor:
    """Values (B,) shaped (B, 1, ..., 1), to broadcast against (B, ...)."""
    return rows.reshape(-1, *[1] * (like.dim() - 1))
