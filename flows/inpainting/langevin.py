"""Draws from the conditional p(x_hidden | x_known) by Langevin dynamics with a Metropolis test (MALA)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow
from flows.inpainting.adam import direction, with_zero_moments
from flows.inpainting.ascent import paper_rate
from flows.inpainting.climb import Climb, along
from flows.inpainting.method import Method, below_one, evaluate, fill, finite, move, unit
from flows.inpainting.redraw import Redraw
from flows.inpainting.sharp_modes import SharpModes


class Langevin(Method):
    """Preconditioned MALA: a draw from the conditional, restricted to [0, 1) for an image.

    Roberts & Tweedie 1996, "Exponential convergence of Langevin distributions and their discrete approximations",
    section 1.4. The proposal is x_h + (e^2 / 2) P gradient + e sqrt(P temperature) noise: noise of size sqrt(2 alpha)
    at a drift of alpha. The target is p^(1 / temperature). P is the inverse of the diagonal of J^T C J, where
    J = dz/dx at the initial point and C is the curvature of the prior; it is estimated from random cotangents. A
    proposal outside an image's bounds is reflected, which keeps the target exact: the chain then runs on the reflected
    density.

    The steps have three phases. The first quarter ascends (Adam, as ``ascent`` without noise). The second quarter
    adapts e to an acceptance of 0.574 (Roberts & Rosenthal 1998, "Optimal scaling of discrete approximations to
    Langevin diffusions"), starting from 0.3 step_size. The second half keeps e and is the chain itself;
    ``acceptance`` is measured there.

    On a flow with ``SharpModes`` no step is small enough; ``Redraw`` draws from the same conditional instead.
    """

    name = "langevin"
    samples = True
    dispersion = 0.3
    first_scale = 0.3
    wanted_acceptance = 0.574
    adaptation = 0.3

    def on(self, flow: Flow) -> Method:
        return Redraw() if isinstance(flow, SharpModes) else self

    def initial_state(self, flow: Flow, climb: Climb) -> Climb:
        # The unit of length bounds the proposal in entries where the flow has no curvature.
        length = unit(flow, climb)
        deviation = length * (curvature(flow, climb.x, climb.keys, length) + 1).rsqrt()
        scale = (self.first_scale * climb.step_size).clamp_min(torch.finfo(climb.x.dtype).tiny).log()
        return with_zero_moments(replace(climb, state={"deviation": deviation, "log_scale": scale}), climb.x)

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        ascending = 4 * climb.step < climb.steps
        adapting = ~ascending & (2 * climb.step < climb.steps)
        length = unit(flow, climb)
        towards, moments = direction(climb, length * climb.gradient)
        rate = paper_rate(climb) * (1 - 4 * climb.step / climb.steps.clamp_min(1))
        uphill = fill(flow, climb, climb.x + along(rate, towards) * length * towards)

        key = noise.derive(climb.keys, climb.step)
        draws = noise.normal(key, climb.x.shape[1:]).to(climb.x.dtype)
        scale = along(climb.state["log_scale"].exp(), draws) * climb.state["deviation"]
        temperature = climb.temperature.clamp_min(torch.finfo(draws.dtype).eps)
        deviation = scale * along(temperature, draws).sqrt()
        # scale * (scale * gradient): the square of a small unit is 0 in float32.
        way = scale * (scale * climb.gradient) / 2 + deviation * draws
        proposal = climb.x + way
        reflected, sign = reflect(proposal) if flow.is_image else (proposal, torch.ones_like(proposal))

        x = torch.where(along(ascending, draws), uphill, torch.where(climb.hidden, reflected, climb.x))
        log_prob, gradient = evaluate(flow, x, climb.hidden)
        back = (way + scale * (scale * sign * gradient) / 2) / deviation
        gap = torch.where(climb.hidden, draws.square() - back.square(), 0.0).flatten(1).sum(dim=1) / 2
        chance = ((log_prob - climb.log_prob) / temperature + gap).nan_to_num(nan=-torch.inf).clamp_max(0).exp()
        passed = noise.uniform(noise.derive(key, 1), ()) < chance
        accept = finite(log_prob, gradient) & (ascending | passed)

        learned = climb.state["log_scale"] + self.adaptation * (chance - self.wanted_acceptance)
        log_scale = torch.where(adapting, learned, climb.state["log_scale"])
        tested = ~ascending & ~adapting
        ahead = move(climb, x, log_prob, gradient, accept, **moments, log_scale=log_scale)
        return replace(ahead, proposed=climb.proposed + tested, accepted=climb.accepted + (tested & accept))


def reflect(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (B, *S) reflected at 0 and 1 into [0, 1), and the slope of the reflection (B, *S): 1 or -1."""
    turned = x - 2 * (x / 2).floor()
    odd = turned >= 1
    return torch.where(odd, 2 - turned, turned).clamp(max=below_one(x)), torch.where(odd, -1.0, 1.0).to(x.dtype)


def curvature(flow: Flow, x: Tensor, keys: Tensor, length: Tensor, probes: int = 8) -> Tensor:
    """An estimate of the diagonal of J^T C J (B, *S) at x, with J = dz/dx and C the mean curvature of the prior.

    x is measured in lengths (B, *S), so that squares neither vanish nor overflow whatever its unit is.

    If s is the prior's score at a draw from the prior, then E[s s^T] = C, and the squares of J^T s have this diagonal
    as their mean. Costs one forward pass and ``probes`` backward passes. The noise follows from the rows' keys.
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
            total += (length * pulled).square() / probes
    return total
