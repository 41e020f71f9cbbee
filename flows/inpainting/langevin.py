"""Draws from the conditional p(x_hidden | x_known): Langevin dynamics with a Metropolis test."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow
from flows.inpainting.adam import direction, remember
from flows.inpainting.ascent import paper_rate
from flows.inpainting.climb import Climb, along
from flows.inpainting.method import Method, below_one, evaluate, fill, move, sound, width
from flows.inpainting.redraw import Redraw


class Langevin(Method):
    """MALA, preconditioned: a draw from the conditional, and for an image from what of it lies within [0, 1).

    Roberts & Tweedie 1996, "Exponential convergence of Langevin distributions and their discrete approximations",
    section 1.4. The proposal is x_h + (e^2 / 2) P gradient + e sqrt(P temperature) noise, that is noise of size
    sqrt(2 alpha) at a drift of alpha; the target is p^(1 / temperature). P is the inverse of the diagonal of
    J^T J, J = dz/dx at the first point, weighted with the prior's curvature and estimated from random cotangents. At an
    image's bounds the proposal is mirrored, which leaves the target exact: it is the chain on the mirrored density.

    The first quarter of the steps climbs (Adam, as ``ascent`` without noise), the second fits e to an acceptance of
    0.574 (Roberts & Rosenthal 1998, "Optimal scaling of discrete approximations to Langevin diffusions"), starting from
    0.3 step_size, and the second half keeps e and is the chain proper: ``acceptance`` is of that half.

    Among sharp modes no step is small enough: there ``Redraw`` draws from the same conditional.
    """

    name = "langevin"
    samples = True
    dispersion = 0.3
    first_scale = 0.3
    wanted_acceptance = 0.574
    adaptation = 0.3

    def on(self, flow: Flow) -> Method:
        return Redraw() if flow.has_sharp_modes else self

    def begin(self, flow: Flow, climb: Climb) -> Climb:
        # Where the flow puts no curvature at all, the width keeps the proposal from running away.
        precision = curvature(flow, climb.x, climb.keys) + width(flow, climb) ** -2
        scale = (self.first_scale * climb.step_size).clamp_min(torch.finfo(climb.x.dtype).tiny).log()
        return remember(replace(climb, state={"deviation": precision.rsqrt(), "log_scale": scale}), climb.x)

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        climbing = 4 * climb.step < climb.steps
        adapting = ~climbing & (2 * climb.step < climb.steps)
        towards, moments = direction(climb, climb.gradient)
        rate = paper_rate(climb) * (1 - 4 * climb.step / climb.steps.clamp_min(1))
        uphill = fill(flow, climb, climb.x + along(rate, towards) * width(flow, climb) * towards)

        key = noise.derive(climb.keys, climb.step)
        draws = noise.normal(key, climb.x.shape[1:]).to(climb.x.dtype)
        scale = along(climb.state["log_scale"].exp(), draws) * climb.state["deviation"]
        temperature = climb.temperature.clamp_min(torch.finfo(draws.dtype).eps)
        deviation = scale * along(temperature, draws).sqrt()
        proposal = climb.x + scale.square() / 2 * climb.gradient + deviation * draws
        mirrored, sign = mirror(proposal) if flow.is_image else (proposal, torch.ones_like(proposal))

        x = torch.where(along(climbing, draws), uphill, torch.where(climb.hidden, mirrored, climb.x))
        log_prob, gradient = evaluate(flow, x, climb.hidden)
        back = (climb.x - proposal - scale.square() / 2 * sign * gradient) / deviation
        gap = torch.where(climb.hidden, draws.square() - back.square(), 0.0).flatten(1).sum(dim=1) / 2
        chance = ((log_prob - climb.log_prob) / temperature + gap).nan_to_num(nan=-torch.inf).clamp_max(0).exp()
        lucky = noise.uniform(noise.derive(key, 1), ()) < chance
        accept = sound(log_prob, gradient) & (climbing | lucky)

        learned = climb.state["log_scale"] + self.adaptation * (chance - self.wanted_acceptance)
        log_scale = torch.where(adapting, learned, climb.state["log_scale"])
        judged = ~climbing & ~adapting
        ahead = move(climb, x, log_prob, gradient, accept, **moments, log_scale=log_scale)
        return replace(ahead, proposed=climb.proposed + judged, accepted=climb.accepted + (judged & accept))


def mirror(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (B, *S) folded into [0, 1) at the walls 0 and 1, and the slope of the fold, 1 or -1, entry by entry."""
    turned = x - 2 * (x / 2).floor()
    odd = turned >= 1
    return torch.where(odd, 2 - turned, turned).clamp(max=below_one(x)), torch.where(odd, -1.0, 1.0).to(x.dtype)


def curvature(flow: Flow, x: Tensor, keys: Tensor, probes: int = 8) -> Tensor:
    """The diagonal of J^T C J (B, *S) at x: what the prior's mean curvature C is when pulled back by J = dz/dx.

    The square of J^T s has that mean when s is the prior's score at a draw from the prior, since then E[s s^T] = C.
    One forward pass and ``probes`` backward ones; of the noise of its rows alone.
    """
    with torch.inference_mode(False), torch.enable_grad():
        point = x.clone().requires_grad_()
        total = torch.zeros_like(point)
        z, _ = flow.encode(point)
        for probe in range(probes):
            uniform = noise.uniform(noise.derive(keys, -2 - probe), flow.prior.shape)
            draw = flow.prior.quantile(uniform).to(x.dtype).clone().requires_grad_()
            (score,) = torch.autograd.grad(flow.prior.log_prob(draw).sum(), draw)
            (pulled,) = torch.autograd.grad(z, point, score, retain_graph=probe + 1 < probes)
            total += pulled.square() / probes
    return total
