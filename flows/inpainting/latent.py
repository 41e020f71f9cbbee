"""Inpainting by a search in latent space, with the known entries as a constraint."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows.flow import Flow
from flows.inpainting.adam import direction, remember
from flows.inpainting.climb import Climb, along
from flows.inpainting.method import Method, arrive, fill, width


class Latent(Method):
    """Adam on z: maximise log prior(z) - |(decode(z) - x)_known / w|^2 / (2 s_i^2), a penalty that hardens.

    s_i falls geometrically from 0.1 to 0.002, half a grey level, and w is the unit of ``ascent``. Adam's rate is
    0.1 step_size (1 - i / steps), in units of the prior's standard deviation. The completion is decode(z) at the hidden
    entries and what was given at the known ones; it is scored, and the best one kept, as a whole. A step costs a
    decoding and an encoding, each with its backward pass. Temperature and keys play no part.
    """

    name = "latent"
    first_rate = 0.1
    tolerances = (0.1, 0.002)

    def begin(self, flow: Flow, climb: Climb) -> Climb:
        with torch.no_grad():
            z, _ = flow.encode(climb.x)
        _, uphill = self.look(flow, climb, z, climb.step)
        return remember(replace(climb, state={"z": z, "uphill": uphill}), z)

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        towards, moments = direction(climb, climb.state["uphill"])
        rate = self.first_rate * flow.prior.std * climb.step_size * (1 - climb.step / climb.steps.clamp_min(1))
        z = climb.state["z"] + along(rate, towards) * towards
        x, uphill = self.look(flow, climb, z, climb.step + 1)
        return arrive(flow, climb, fill(flow, climb, x), z=z, uphill=uphill, **moments)

    def look(self, flow: Flow, climb: Climb, z: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """decode(z) (B, *S), and the gradient (B, *prior.shape) at z of what step i (B,) maximises."""
        loose, tight = self.tolerances
        tolerance = loose * (tight / loose) ** (step / climb.steps.clamp_min(1))
        scale = along(tolerance, climb.x) * width(flow, climb)
        with torch.inference_mode(False), torch.enable_grad():
            point, known, hidden = z.clone().requires_grad_(), climb.x.clone(), climb.hidden.clone()
            x, _ = flow.decode(point)
            error = torch.where(hidden, 0.0, (x - known) / scale.clone())
            objective = flow.prior.log_prob(point).sum() - error.square().sum() / 2
            (gradient,) = torch.autograd.grad(objective, point)
        return x.detach(), gradient
