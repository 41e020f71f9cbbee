"""Gradient ascent of the log-likelihood (NICE, section 5.2): preconditioned, as the paper writes it, and by Adam."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow
from flows.inpainting.adam import direction, with_zero_moments
from flows.inpainting.climb import Climb, along
from flows.inpainting.method import Method, arrive, fill, narrowing, unit
from flows.inpainting.sharp_modes import SharpModes

_NEGLIGIBLE = 1e-3
"""Nats. A row that can gain no more than this has converged."""
_REACH = 0.25
"""Standard deviation, in an image's range, of the Gaussian that keeps a row near its initial point at first."""


def paper_rate(climb: Climb) -> Tensor:
    """step_size * alpha_i (B,), with alpha_i = 10 / (100 + i) after i steps (NICE, section 5.2)."""
    return climb.step_size * 10 / (100 + climb.step)


class Ascent(Method):
    """The ascent of NICE (section 5.2) with a preconditioned and annealed step; ends at a mode of the conditional.

    x_h <- clip(x_h + alpha_i (w d_i + temperature a_i s noise)), where alpha_i = step_size * 10 / (100 + i) * a_i and
    a_i = 1 - i / steps takes step and noise to zero at the limit of steps.

    d_i is the gradient divided by its own running size, entry by entry (Adam). Without that no single step fits:
    pixels that hardly vary have a curvature near 1e6, others one near 1. For the same reason the noise is in units of
    s, the spread of items that the flow drew. w is the unit of length: 1 for pixels, 4 s for vectors. Each row starts
    a little away from the mean of the draws (see ``initial_point``), so that several completions differ. A row stops
    early when the remaining path, at the current gradient, would gain less than 0.001 nats.

    On a flow with ``SharpModes`` the gradient is that of a smoothed log-likelihood, smoothed less at every step
    (graduated optimisation), plus that of a Gaussian around the initial point. The initial point estimates the
    conditional mean: of several modes of similar likelihood, one near the mean is likely to be closer to the truth. The
    Gaussian has weight a_i^2, so the likelihood alone decides in the end.
    """

    name = "ascent"
    smooths = True
    dispersion = 0.3

    def initial_state(self, flow: Flow, climb: Climb) -> Climb:
        climb = replace(climb, state={"initial_point": climb.x}) if isinstance(flow, SharpModes) else climb
        return with_zero_moments(climb, climb.x)

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        annealing = 1 - climb.step / climb.steps.clamp_min(1)
        gradient = climb.gradient
        if isinstance(flow, SharpModes):  # the two points agree at known entries
            weight = along(annealing.square() / _REACH**2, climb.x).to(climb.x.dtype)
            gradient = gradient + weight * (climb.state["initial_point"] - climb.x)
        length = unit(flow, climb)
        towards, moments = direction(climb, length * gradient)
        towards = length * towards
        rate = paper_rate(climb) * annealing
        draws = noise.normal(noise.derive(climb.keys, climb.step), climb.x.shape[1:]).to(climb.x.dtype)
        jitter = along(climb.temperature * annealing, draws) * climb.spread * draws
        ahead = arrive(
            flow,
            climb,
            fill(flow, climb, climb.x + along(rate, draws) * (towards + jitter)),
            narrowing(climb),
            **moments,
        )
        path_left = rate * (climb.steps - climb.step) / 2
        gain = (ahead.gradient.abs() * length).flatten(1).sum(dim=1) * path_left
        return replace(ahead, converged=gain < _NEGLIGIBLE)


class PaperAscent(Method):
    """NICE, section 5.2, to the letter: x_h <- clip(x_h + alpha_i (gradient + noise)), alpha_i = 10 / (100 + i).

    For comparison only. On a well-trained flow the raw gradient, in the thousands, throws every pixel against a bound
    and the picture is lost. The paper's own experiment took over 100,000 steps, with the mean gradient of 100 images.
    ``step_size`` multiplies alpha_i, ``temperature`` the noise. There is no early stop.
    """

    name = "nice"

    def initial_state(self, flow: Flow, climb: Climb) -> Climb:  # noqa: ARG002
        return climb

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        draws = noise.normal(noise.derive(climb.keys, climb.step), climb.x.shape[1:]).to(climb.x.dtype)
        uphill = climb.gradient + along(climb.temperature, draws) * draws
        return arrive(flow, climb, fill(flow, climb, climb.x + along(paper_rate(climb), draws) * uphill))


class Map(Method):
    """The most likely completion, without noise: Adam with a rate that halves on a plateau, until convergence.

    The rate starts at 0.1 step_size w (w as in ``ascent``). It halves when the best point has gained less than 0.01
    nats a step over 10 steps. A row has converged when its rate is below w / 10,000. ``steps`` is a limit, not a
    schedule; ``temperature`` and keys have no effect. On a flow with ``SharpModes`` the gradient is that of the
    log-likelihood smoothed by the rate.
    """

    name = "map"
    smooths = True
    patience = 10
    least_gain = 0.01
    first_rate = 0.1
    last_rate = 1e-4

    def initial_state(self, flow: Flow, climb: Climb) -> Climb:  # noqa: ARG002
        state = {
            "rate": self.first_rate * climb.step_size,
            "waited": torch.zeros_like(climb.step),
            "beaten": climb.best_log_prob,
        }
        return with_zero_moments(replace(climb, state=state), climb.x)

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        length = unit(flow, climb)
        towards, moments = direction(climb, length * climb.gradient)
        rate = climb.state["rate"]
        x = fill(flow, climb, climb.x + along(rate, climb.x) * length * towards)
        ahead = arrive(flow, climb, x, rate, **moments)
        waited = climb.state["waited"] + 1
        judged = waited >= self.patience
        plateau = judged & ~(ahead.best_log_prob - climb.state["beaten"] > self.patience * self.least_gain)
        rate = torch.where(plateau, rate / 2, rate)
        state = {
            "rate": rate,
            "waited": torch.where(judged, 0, waited),
            "beaten": torch.where(judged, ahead.best_log_prob, climb.state["beaten"]),
        }
        return replace(ahead, converged=rate < self.last_rate, state={**ahead.state, **state})
