"""Draws from the conditional p(x_hidden | x_known) of a flow with sharp modes, by redrawing windows."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow
from flows.inpainting.climb import Climb, along
from flows.inpainting.method import Method, below_one, move
from flows.inpainting.sharp_modes import SharpModes
from flows.inpainting.windows import tiles, window

_INDEPENDENT = 10
"""In the first tenth of the steps, everything hidden is redrawn: the likeliest of several independent draws stays."""
_GREED = 0.3
"""Factor on the temperature during the search, before the chain itself."""


class Redraw(Method):
    """Metropolis-Hastings: redraw the hidden pixels of a window, accept by the likelihood of the pixels outside.

    On a flow with ``SharpModes`` a gradient says nothing, and a step of all pixels at once always leaves some grey
    level. But such a flow knows the density of each pixel given those before it. The proposal redraws the hidden pixels
    of a window in the flow's order, each given those before it. In the acceptance ratio (Hastings 1970, "Monte Carlo
    sampling methods using Markov chains and their applications") the densities of the redrawn pixels cancel at
    temperature 1; what remains is how likely the pixels outside the window are after the new and after the old ones.
    The target is p^(1 / temperature). ``step_size`` multiplies the sides of the windows.

    The second half of the steps is this chain; ``acceptance`` is measured there. The first half searches for an
    initial point, which need not be exact. A step redraws many separate windows, and accepts each by the change of the
    density in its own surroundings. The next step evaluates the whole density, which is known only in parts until then.

    Uses no gradient: ``Climb.gradient`` is NaN at hidden entries.
    """

    name = "langevin"
    redraws = True
    samples = True

    def evaluate_start(self, flow: Flow, climb: Climb) -> Climb:
        # Windows are placed where draws that fit the known entries disagree: grey in the mean of black and white draws.
        unsure = torch.where(climb.hidden, climb.x * (1 - climb.x) + 0.02, 0.0)
        x, log_densities = self._redraw(flow, climb.x, climb.hidden, noise.derive(climb.keys, -3))
        log_prob = log_densities.flatten(1).sum(dim=1)
        return replace(
            climb,
            x=x,
            best=x,
            log_prob=log_prob,
            best_log_prob=log_prob,
            start_log_prob=log_prob,
            gradient=torch.where(climb.hidden, torch.nan, climb.gradient),
            state={"point": x, "log_densities": log_densities, "unsure": unsure},
        )

    def advance(self, flow: Flow, climb: Climb) -> Climb:
        key = noise.derive(climb.keys, climb.step)
        everything, searching = _INDEPENDENT * climb.step < climb.steps, 2 * climb.step < climb.steps
        local = searching & ~everything
        # Every other step, but never right before the chain, which must know the density at its first point.
        many = local & (climb.step % 2 == 0) & (2 * climb.step + 2 < climb.steps)
        evaluating = local & ~many

        tiling = tiles(climb, noise.derive(key, 4)).where(many)
        one = window(climb, climb.state["unsure"], noise.derive(key, 1))
        chosen = along(everything, climb.x) | torch.where(along(many, climb.x), tiling.squares, one)
        chosen = chosen & climb.hidden & ~along(evaluating, climb.x)
        point, before = climb.state["point"], climb.state["log_densities"]
        x, log_densities = self._redraw(flow, point, chosen, noise.derive(key, 2))

        change = (log_densities - before).double()
        temperature = climb.temperature.clamp_min(torch.finfo(x.dtype).eps) * torch.where(searching, _GREED, 1.0)
        # Target and proposal both contain the densities of the redrawn entries; at temperature 1 they cancel.
        gain = change / along(temperature.double(), change) - torch.where(chosen, change, 0.0)
        gains = tiling.sums(gain)
        passed = noise.uniform(noise.derive(key, 3), gains.shape[1:]).log() < gains  # false for NaN
        kept = tiling.of(passed, x) | along(evaluating, x)

        log_densities = torch.where(kept, log_densities, before)
        ahead = move(
            climb,
            point := torch.where(kept, x, point),
            log_densities.flatten(1).sum(dim=1),
            climb.gradient,
            ~many,
            point=point,
            log_densities=log_densities,
        )
        proposed, accepted = climb.proposed + ~searching, climb.accepted + (~searching & passed[:, 0])
        return replace(ahead, proposed=proposed, accepted=accepted)

    def _redraw(self, flow: Flow, point: Tensor, chosen: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, *S) with the chosen entries redrawn, and the log-density (B, *S) of every entry."""
        assert isinstance(flow, SharpModes)
        x, log_densities = flow.redraw(point, chosen, noise.uniform(key, point.shape[1:]))
        return torch.where(chosen, x.clamp(0, below_one(x)), point), log_densities
