"""Inpainting by optimisation in latent space, with the known entries as a soft constraint."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows.flow import Flow
from flows.inpainting.adam import direction, with_zero_moments
from flows.inpainting.climb import Climb, along
from flows.inpainting.method import Method, arrive, fill, unit


class Latent(Method):
    """Adam on z: maximises log prior(z) - |(decode(z) - x)_known / w|^2 / (2 s_i^2).

    The tolerance s_i falls geometrically from 0.1 to 0.002 (half a grey level), so the constraint hardens. w is the
    unit of length of ``ascent``. Adam's rate is 0.1 step_size (1 - i / steps), in standard deviations of the prior.
    The completion takes decode(z) at hidden entries and the given values at known ones; it is scored as a whole, and
    the best one is kept. A step costs one decoding and one encoding, each with its backward pass. Temperature and keys
    have no effect.
    """

    name = "latent"
    first_rate = 0.1
    tolerances = (0.1, 0.002)

    def initial_state(self, flow: Flow, climb: Climb) -> Climb:
        with torch.no_grad():
            z, _ = flow.encode(climb.x)
        _, uphill = self._decode_with_gradient(flow, climb, z, climb.step)
        return with_zero_moments(replace(climb, state={"z": z, "uphill": uphill}), z)

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        towards, moments = direction(climb, climb.state["uphill"])
        rate = self.first_rate * flow.prior.std * climb.step_size * (1 - climb.step / climb.steps.clamp_min(1))
        z = climb.state["z"] + along(rate, towards) * towards
        x, uphill = self._decode_with_gradient(flow, climb, z, climb.step + 1)
        return arrive(flow, climb, fill(flow, climb, x), z=z, uphill=uphill, **moments)

    def _decode_with_gradient(self, flow: Flow, climb: Climb, z: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """decode(z) (B, *S), and the gradient (B, *prior.shape) of the objective of step i (B,) at z."""
        loose, tight = self.tolerances
        tolerance = loose * (tight / loose) ** (step / climb.steps.clamp_min(1))
        scale = along(tolerance, climb.x) * unit(flow, climb)
        with torch.inference_mode(False), torch.enable_grad():
            point, known, hidden = z.clone().requires_grad_(), climb.x.clone(), climb.hidden.clone()
            x, _ = flow.decode(point)
            error = torch.where(hidden, 0.0, (x - known) / scale.clone())
            objective = flow.prior.log_prob(point).sum() - error.square().sum() / 2
            (gradient,) = torch.autograd.grad(objective, point)
        return x.detach(), gradient
