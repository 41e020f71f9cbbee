"""What the methods share: the gradient, the bounds of an image, the unit of length, and keeping the best point."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows.flow import Flow
from flows.inpainting.climb import Climb, along


class Method:
    """One way to fill in what a mask hides. Methods are stateless: all that a row remembers is in its Climb."""

    name: str
    samples: bool = False
    """Whether a completion is a draw (the answer is the last point) or the most likely one (the best point)."""
    dispersion: float = 0.0
    """How far from the mean towards a draw of its own a row sets out, at temperature 1."""

    blurs: bool = False
    """Whether it follows the gradient of a smoothed likelihood where a flow has sharp modes."""

    def on(self, flow: Flow) -> Method:  # noqa: ARG002
        """This method, or what does its work on a flow of that kind."""
        return self

    def set_out(self, flow: Flow, climb: Climb) -> Climb:
        """The climb, of which x is all that is known, with its first point evaluated and all that the method needs."""
        log_prob, gradient = evaluate(flow, climb.x, climb.hidden, narrowing(climb) if self.blurs else None)
        evaluated = replace(
            climb, log_prob=log_prob, gradient=gradient, best=climb.x, best_log_prob=log_prob, start_log_prob=log_prob
        )
        return self.begin(flow, evaluated)

    def begin(self, flow: Flow, climb: Climb) -> Climb:
        """The climb with what the method needs to remember, at its first point."""
        raise NotImplementedError

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        """Every row one step on; ``step`` counts, and keeps the rows that are done as they were."""
        raise NotImplementedError


def evaluate(flow: Flow, x: Tensor, hidden: Tensor, blur: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """log p(x) (B,) and its gradient (B, *S), zero where nothing is hidden: one forward and one backward pass.

    Where the flow has sharp modes and ``blur`` (B,) is given, the gradient is that of the log-likelihood smoothed by so
    much. Inference mode is left for the time of the call, and x copied, since autograd takes no inference tensors.
    Weights get no gradient, whether they ask for one or not.
    """
    with torch.inference_mode(False), torch.enable_grad():
        point = x.clone().requires_grad_()
        if blur is None:
            climbed = log_prob = flow.log_prob(point)
        else:
            log_prob, climbed = flow.landscape(point, blur.clone())
        (gradient,) = torch.autograd.grad(climbed.sum(), point)
    return log_prob.detach(), torch.where(hidden, gradient, 0.0)


def below_one(x: Tensor) -> float:
    """The largest number under 1 of x's dtype: pixels live in [0, 1), and 1 itself belongs to no grey level."""
    return 1 - torch.finfo(x.dtype).eps / 2


def fill(flow: Flow, climb: Climb, proposal: Tensor) -> Tensor:
    """The proposal (B, *S) at the hidden entries, clipped to [0, 1) for an image, and the known ones untouched."""
    if flow.is_image:
        proposal = proposal.clamp(0, below_one(proposal))
    return torch.where(climb.hidden, proposal, climb.x)


def arrive(flow: Flow, climb: Climb, x: Tensor, blur: Tensor | None = None, **state: Tensor) -> Climb:
    """The climb at x (B, *S), evaluated there with a ``blur``.

    A row whose new point has no finite density stays where it was.
    """
    log_prob, gradient = evaluate(flow, x, climb.hidden, blur)
    return move(climb, x, log_prob, gradient, sound(log_prob, gradient), **state)


def sound(log_prob: Tensor, gradient: Tensor) -> Tensor:
    """Rows (B,) whose log-likelihood and gradient are finite."""
    return log_prob.isfinite() & gradient.flatten(1).isfinite().all(dim=1)


def move(climb: Climb, x: Tensor, log_prob: Tensor, gradient: Tensor, accept: Tensor, **state: Tensor) -> Climb:
    """The climb at x (B, *S) in the rows that accept (B,), where it was in the others; the best point kept."""
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
    """A blur (B,) that falls geometrically from a tenth of an image's range to half a grey level at the last step."""
    wide, narrow = 0.1, 0.002
    blur: Tensor = wide * (narrow / wide) ** (climb.step / climb.steps.clamp_min(1)).to(climb.x.dtype)
    return blur


def width(flow: Flow, climb: Climb) -> Tensor:
    """The unit of length of each entry (B, *S): 1 for pixels, four standard deviations of a vector's own entries.

    It is what makes one step size fit data of any unit.
    """
    return torch.ones_like(climb.spread) if flow.is_image else 4 * climb.spread
