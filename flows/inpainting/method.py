"""What inpainting methods share: the gradient, the bounds of an image, the unit of length, the best point."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows.flow import Flow
from flows.inpainting.climb import Climb, along
from flows.inpainting.sharp_modes import SharpModes


class Method:
    """The base class of inpainting methods. Methods are stateless: all that a row keeps is in its ``Climb``.

    A subclass implements ``initial_state`` and ``advance``, or overrides ``evaluate_start`` if it needs no gradient.

    >>> {name: method.samples for name, method in flows.inpainting.METHODS.items()}
    {'ascent': False, 'nice': False, 'map': False, 'langevin': True, 'latent': False}
    """

    name: str
    samples: bool = False
    """Whether a completion is a draw (the last point) instead of the likeliest point."""
    dispersion: float = 0.0
    """At temperature 1, how far a row's initial point lies from the mean, as a share of the way to a draw."""
    smooths: bool = False
    """Whether the method follows the gradient of the smoothed log-likelihood on flows with ``SharpModes``."""
    redraws: bool = False
    """Whether a step draws entries given the others (``SharpModes.redraw``) in place of taking a gradient."""

    def on(self, flow: Flow) -> Method:  # noqa: ARG002
        """The method that does the work on this flow: usually this one."""
        return self

    def evaluate_start(self, flow: Flow, climb: Climb) -> Climb:
        """The climb with its initial point x evaluated, and with the state that the method keeps."""
        log_prob, gradient = evaluate(flow, climb.x, climb.hidden, narrowing(climb) if self.smooths else None)
        evaluated = replace(
            climb, log_prob=log_prob, gradient=gradient, best=climb.x, best_log_prob=log_prob, start_log_prob=log_prob
        )
        return self.initial_state(flow, evaluated)

    def initial_state(self, flow: Flow, climb: Climb) -> Climb:
        """The climb with the method's own state at the initial point."""
        raise NotImplementedError

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        """Every row one step on. The caller counts the step and restores rows that were done."""
        raise NotImplementedError


def evaluate(flow: Flow, x: Tensor, hidden: Tensor, width: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """log p(x) (B,) and its gradient (B, *S), zero at known entries: one forward and one backward pass.

    Given ``width`` (B,), the gradient on a flow with ``SharpModes`` is that of the log-likelihood smoothed by it. The
    call leaves inference mode and copies x, since autograd takes no inference tensors. Weights get no gradient.
    """
    with torch.inference_mode(False), torch.enable_grad():
        point = x.clone().requires_grad_()
        if width is not None and isinstance(flow, SharpModes):
            log_prob, objective = flow.smoothed_log_prob(point, width.clone())
        else:
            objective = log_prob = flow.log_prob(point)
        (gradient,) = torch.autograd.grad(objective.sum(), point)
    return log_prob.detach(), torch.where(hidden, gradient, 0.0)


def below_one(x: Tensor) -> float:
    """The largest number below 1 in x's dtype: pixels lie in [0, 1), and 1 belongs to no grey level."""
    return 1 - torch.finfo(x.dtype).eps / 2


def fill(flow: Flow, climb: Climb, proposal: Tensor) -> Tensor:
    """The proposal (B, *S) at the hidden entries, clipped to [0, 1) for an image; known entries unchanged."""
    if flow.is_image:
        proposal = proposal.clamp(0, below_one(proposal))
    return torch.where(climb.hidden, proposal, climb.x)


def arrive(flow: Flow, climb: Climb, x: Tensor, width: Tensor | None = None, **state: Tensor) -> Climb:
    """The climb moved to x (B, *S) and evaluated there (see ``evaluate`` for ``width``), with new ``state`` entries.

    A row whose log-likelihood or gradient at x is not finite keeps its point.
    """
    log_prob, gradient = evaluate(flow, x, climb.hidden, width)
    return move(climb, x, log_prob, gradient, finite(log_prob, gradient), **state)


def finite(log_prob: Tensor, gradient: Tensor) -> Tensor:
    """(B,) bool: rows whose log-likelihood and gradient are finite."""
    return log_prob.isfinite() & gradient.flatten(1).isfinite().all(dim=1)


def move(climb: Climb, x: Tensor, log_prob: Tensor, gradient: Tensor, accept: Tensor, **state: Tensor) -> Climb:
    """The climb at x (B, *S) in the rows where ``accept`` (B,) is true, unmoved elsewhere; updates the best point."""
    better = accept & (log_prob > climb.best_log_prob)
    return replace(
        climb,
        x=torch.where(along(accept, x), x, climb.x),
        log_prob=torch.where(accept, log_prob, climb.log_prob),
        gradient=torch.where(along(accept, x), gradient, climb.gradient),
        best=torch.where(along(better, x), x, climb.best),
        best_log_prob=torch.where(better, log_prob, climb.best_log_prob),
        state={**climb.state, **state},
    )


def narrowing(climb: Climb) -> Tensor:
    """A smoothing width (B,) that falls geometrically from a tenth of an image's range to half a grey level."""
    wide, narrow = 0.1, 0.002
    width: Tensor = wide * (narrow / wide) ** (climb.step / climb.steps.clamp_min(1)).to(climb.x.dtype)
    return width


def unit(flow: Flow, climb: Climb) -> Tensor:
    """The unit of length (B, *S): 1 for pixels, four standard deviations of each entry of a vector.

    It lets one step size fit vectors in any unit.
    """
    return torch.ones_like(climb.spread) if flow.is_image else 4 * climb.spread
