"""Gradient ascent on the log-likelihood as in NICE (section 5.2): made to work, and as the paper writes it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow
from flows.inpainting.adam import direction, remember
from flows.inpainting.climb import Climb, along
from flows.inpainting.method import Method, arrive, fill, narrowing, width

_NEGLIGIBLE = 1e-3
"""Nats. A climb that can gain no more than this has converged."""
_REACH = 0.25
"""Of an image's range: how far sharp modes may lie from the point where a row sets out, a standard deviation."""


def paper_rate(climb: Climb) -> Tensor:
    """step_size * alpha_i (B,), with alpha_i = 10 / (100 + i) after i steps (NICE, section 5.2)."""
    return climb.step_size * 10 / (100 + climb.step)


class Ascent(Method):
    """The ascent of NICE (section 5.2) with a preconditioned and annealed step; ends at a mode of the conditional.

    x_h <- clip(x_h + alpha_i (w d_i + temperature a_i s noise)), with alpha_i = step_size * 10 / (100 + i) * a_i, and
    a_i = 1 - i / steps, which takes step and noise to zero at the limit. d_i is the gradient over its own running size,
    entry by entry (Adam): pixels that hardly vary give the likelihood a curvature near 1e6 and others one near 1, so
    that no single step suits both. The noise is in units of s, the spread of the flow's own samples, for the same
    reason. w is the unit of length: 1 for pixels, 4 s for vectors. A row sets out from the mean of what the flow draws,
    a little moved (see ``outset``), so that several completions differ. Stops early when the path that is left, at
    today's gradient, leads up by less than 0.001 nats.

    On a flow with sharp modes the gradient is that of a smoothed likelihood, less so with every step (graduated
    optimisation), times a Gaussian about the point where the row set out, which is an estimate of the conditional mean:
    of modes that are about as likely, one near the mean is nearer to whatever the truth may be. Its weight is a_i^2, so
    that in the end the likelihood alone decides.
    """

    name = "ascent"
    blurs = True
    dispersion = 0.3

    def begin(self, flow: Flow, climb: Climb) -> Climb:
        climb = replace(climb, state={"outset": climb.x}) if flow.has_sharp_modes else climb
        return remember(climb, climb.x)

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        annealing = 1 - climb.step / climb.steps.clamp_min(1)
        gradient = climb.gradient
        if flow.has_sharp_modes:  # at known entries both are the same
            weight = along(annealing.square() / _REACH**2, climb.x).to(climb.x.dtype)
            gradient = gradient + weight * (climb.state["outset"] - climb.x)
        towards, moments = direction(climb, gradient)
        towards = width(flow, climb) * towards
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
        gain = (ahead.gradient.abs() * width(flow, climb)).flatten(1).sum(dim=1) * path_left
        return replace(ahead, converged=gain < _NEGLIGIBLE)


class PaperAscent(Method):
    """NICE, section 5.2, to the letter: x_h <- clip(x_h + alpha_i (gradient + noise)), alpha_i = 10 / (100 + i).

    For comparison. On a well-trained flow the raw gradient, in the thousands, throws every pixel against its bound and
    the picture is lost; the paper's own experiment took over 100,000 steps, with the mean gradient of 100 images.
    ``step_size`` multiplies alpha_i, ``temperature`` the noise. No early stop.
    """

    name = "nice"

    def begin(self, flow: Flow, climb: Climb) -> Climb:  # noqa: ARG002
        return climb

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        draws = noise.normal(noise.derive(climb.keys, climb.step), climb.x.shape[1:]).to(climb.x.dtype)
        uphill = climb.gradient + along(climb.temperature, draws) * draws
        return arrive(flow, climb, fill(flow, climb, climb.x + along(paper_rate(climb), draws) * uphill))


class Map(Method):
    """The most likely completion, without chance: Adam whose rate halves on a plateau, until it has converged.

    The rate starts at 0.1 step_size w (w as in ``ascent``) and halves when 10 steps bring the best point up by less
    than 0.01 nats each; the row has converged when it falls below w / 10,000. ``steps`` is a limit and no schedule,
    and ``temperature`` and keys play no part. On a flow with sharp modes the gradient is that of the likelihood
    smoothed by the rate.
    """

    name = "map"
    blurs = True
    patience = 10
    least_gain = 0.01
    first_rate = 0.1
    last_rate = 1e-4

    def begin(self, flow: Flow, climb: Climb) -> Climb:  # noqa: ARG002
        state = {
            "rate": self.first_rate * climb.step_size,
            "waited": torch.zeros_like(climb.step),
            "beaten": climb.best_log_prob,
        }
        return remember(replace(climb, state=state), climb.x)

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        towards, moments = direction(climb, climb.gradient)
        rate = climb.state["rate"]
        x = fill(flow, climb, climb.x + along(rate, climb.x) * width(flow, climb) * towards)
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
