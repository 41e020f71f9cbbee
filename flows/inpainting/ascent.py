"""Gradient ascent on the log-likelihood, as in NICE (section 5.2), with a step that fits a well-trained flow."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow
from flows.inpainting.climb import Climb, spread
from flows.inpainting.method import Method, arrive, fill


def paper_schedule(step: Tensor) -> Tensor:
    """alpha_i = 10 / (100 + i), (B,) from the steps taken (NICE, section 5.2)."""
    return 10 / (100 + step.to(torch.float64))


class Ascent(Method):
    """x_h <- x_h + alpha_i (d_i + noise), the ascent of NICE (section 5.2) with a preconditioned, annealed step.

    d_i is the gradient over its own running size, entry by entry (Adam; Kingma & Ba 2015, arXiv:1412.6980,
    algorithm 1): pixels that hardly vary give the likelihood a curvature near 1e6 and others one near 1, and no single
    step suits both. alpha_i = step_size * 10 / (100 + i) * (1 - i / steps), in units of x, falls to zero at the limit,
    and the noise with it, so that the climb ends at a mode.
    """

    name = "ascent"
    noise_size = 0.3
    """Of the normal noise, in steps, at temperature 1."""

    def begin(self, flow: Flow, climb: Climb) -> Climb:  # noqa: ARG002
        still = torch.zeros_like(climb.x)
        return replace(climb, state={"momentum": still, "power": still})

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        momentum, power, direction = adam(climb)
        left = 1 - climb.step / climb.steps.clamp_min(1)
        alpha = climb.step_size * paper_schedule(climb.step) * left
        draws = noise.normal(noise.derive(climb.keys, climb.step), climb.x.shape[1:])
        jitter = self.noise_size * spread(climb.temperature * left, draws) * draws
        x = climb.x + (spread(alpha, draws) * (direction + jitter)).to(climb.x.dtype)
        return arrive(flow, climb, fill(flow, climb, x), momentum=momentum, power=power)


def adam(climb: Climb, beta_1: float = 0.9, beta_2: float = 0.999) -> tuple[Tensor, Tensor, Tensor]:
    """Adam's moments with the gradient at x, and its direction (B, *S), whose entries are near 1 while they agree."""
    momentum = beta_1 * climb.state["momentum"] + (1 - beta_1) * climb.gradient
    power = beta_2 * climb.state["power"] + (1 - beta_2) * climb.gradient.square()
    count = spread(climb.step + 1, climb.x).to(climb.x.dtype)
    first, second = momentum / (1 - beta_1**count), power / (1 - beta_2**count)
    return momentum, power, first / (second.sqrt() + torch.finfo(climb.x.dtype).eps)
