"""The state of a batch of inpaintings, one row each; every row has its own schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from flows.errors import FlowError


@dataclass(frozen=True)
class Climb:
    """B inpaintings by one method, independent of each other. S is the item shape.

    Rows leave by ``select`` and join by ``cat`` between any two steps. All that belongs to a row is in its tensors,
    its noise key included, so its neighbours change at most the last bits of a matrix product. Log-likelihoods are in
    nats, gradients in nats per unit of x.

    >>> flow = flows.nice((2,), hidden=[8], image=False).requires_grad_(False)
    >>> hidden = torch.tensor([[False, True], [True, False]])
    >>> survey = flows.inpainting.survey(flow)
    >>> climb = flows.inpainting.start(flow, torch.ones(2, 2), hidden, flows.noise.keys(0, 2), survey=survey, steps=9)
    >>> first, second = climb.select([0]), climb.select([1])
    >>> len(flows.inpainting.Climb.cat([first, second, second]))
    3
    >>> climb.result()[~hidden]
    tensor([1., 1.])
    """

    method: str
    x: Tensor
    """(B, *S): the current points. Known entries hold the values that were given, bit for bit."""
    hidden: Tensor
    """(B, *S) bool: the entries to fill in."""
    spread: Tensor
    """(B, *S): the standard deviation of each entry over items that the flow drew, the natural length of a step."""
    keys: Tensor
    """(B,) int64: the noise key of each row."""
    step: Tensor
    """(B,) int64: the number of steps taken."""
    steps: Tensor
    """(B,) int64: the limit of steps."""
    step_size: Tensor
    """(B,): factor on the method's own step size."""
    temperature: Tensor
    """(B,): factor on the method's own noise."""
    log_prob: Tensor
    """(B,): the log-likelihood of x."""
    gradient: Tensor
    """(B, *S): the gradient of log_prob at x, zero at known entries; NaN at hidden ones if the method uses none."""
    best: Tensor
    """(B, *S): the likeliest point so far."""
    best_log_prob: Tensor
    """(B,): the log-likelihood of best."""
    start_log_prob: Tensor
    """(B,): the log-likelihood of the initial point."""
    done: Tensor
    """(B,) bool: converged or out of steps. Further steps leave the row unchanged."""
    converged: Tensor
    """(B,) bool: done because nothing more can be gained, not because the steps ran out."""
    proposed: Tensor
    """(B,) int64: the number of proposals that had a Metropolis test; 0 in methods without one."""
    accepted: Tensor
    """(B,) int64: the number of proposals that passed the test."""
    samples: bool = False
    """Whether the result is the current point (a draw) instead of the likeliest point."""
    state: dict[str, Tensor] = field(default_factory=dict)
    """What the method itself keeps between steps (moments, step sizes), by name, each with B rows."""

    def __len__(self) -> int:
        return len(self.x)

    @property
    def grad_norm(self) -> Tensor:
        """(B,): the Euclidean norm of the gradient over the hidden entries; NaN if the method uses none."""
        norm: Tensor = torch.linalg.vector_norm(self.gradient.flatten(1), dim=1)
        return norm

    @property
    def acceptance(self) -> Tensor:
        """(B,): accepted / proposed; 1 while nothing has been proposed."""
        rate: Tensor = torch.where(self.proposed > 0, self.accepted / self.proposed.clamp_min(1), 1.0)
        return rate

    def result(self) -> Tensor:
        """The completions (B, *S). Known entries hold the values that were given."""
        return self.x if self.samples else self.best

    def select(self, index: Tensor | Sequence[int]) -> Climb:
        """The rows at an index, (K,) integers or (B,) bool, in the order of the index."""
        rows = torch.as_tensor(index, device=self.x.device)
        return _combine([self], lambda tensors: tensors[0][rows])

    @staticmethod
    def cat(climbs: Sequence[Climb]) -> Climb:
        """One batch with the rows of all climbs, in order. Raises FlowError unless all have the same method."""
        methods = {climb.method for climb in climbs}
        if len(methods) > 1:
            raise FlowError(f"climbs of different methods cannot share a batch: {', '.join(sorted(methods))}")
        return _combine(climbs, torch.cat)

    def flat(self) -> list[Tensor]:
        """All tensors, in the order of the fields, then those of ``state``."""
        found: list[Tensor] = []

        def note(tensors: list[Tensor]) -> Tensor:
            found.append(tensors[0])
            return tensors[0]

        _combine([self], note)
        return found

    def like(self, tensors: Sequence[Tensor]) -> Climb:
        """The climb whose tensors are these, in the order of ``flat``."""
        following = iter(tensors)
        return _combine([self], lambda _: next(following))

    def where(self, rows: Tensor, other: Climb) -> Climb:
        """This climb in the rows (B,) bool where the mask is true, the other climb elsewhere."""
        return _combine([self, other], lambda pair: torch.where(along(rows, pair[0]), pair[0], pair[1]))


def along(rows: Tensor, like: Tensor) -> Tensor:
    """Values (B,) reshaped to (B, 1, ..., 1), to broadcast against ``like`` (B, ...)."""
    return rows.reshape(-1, *[1] * (like.dim() - 1))


def _combine(climbs: Sequence[Climb], join: Callable[[list[Tensor]], Tensor]) -> Climb:
    """The climb whose every tensor is ``join`` of that tensor of all climbs."""
    first = climbs[0]
    return Climb(
        method=first.method,
        x=join([climb.x for climb in climbs]),
        hidden=join([climb.hidden for climb in climbs]),
        spread=join([climb.spread for climb in climbs]),
        keys=join([climb.keys for climb in climbs]),
        step=join([climb.step for climb in climbs]),
        steps=join([climb.steps for climb in climbs]),
        step_size=join([climb.step_size for climb in climbs]),
        temperature=join([climb.temperature for climb in climbs]),
        log_prob=join([climb.log_prob for climb in climbs]),
        gradient=join([climb.gradient for climb in climbs]),
        best=join([climb.best for climb in climbs]),
        best_log_prob=join([climb.best_log_prob for climb in climbs]),
        start_log_prob=join([climb.start_log_prob for climb in climbs]),
        done=join([climb.done for climb in climbs]),
        converged=join([climb.converged for climb in climbs]),
        proposed=join([climb.proposed for climb in climbs]),
        accepted=join([climb.accepted for climb in climbs]),
        samples=first.samples,
        state={name: join([climb.state[name] for climb in climbs]) for name in first.state},
    )
