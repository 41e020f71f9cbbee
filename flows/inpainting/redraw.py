"""Draws from p(x_hidden | x_known) of a flow with sharp modes: windows drawn anew by the flow itself."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow
from flows.inpainting.climb import Climb, along
from flows.inpainting.method import Method, below_one, move
from flows.inpainting.windows import tiles, window

_FIRST = 10
"""In the first tenth of the steps everything hidden is drawn: of several beginnings a likely one stays."""
_GREED = 0.3
"""On the way to where the chain proper begins, the temperature is multiplied by this."""


class Redraw(Method):
    """Metropolis: what is hidden in a window is drawn anew, and kept as often as what is around it allows.

    Where the density is flat within a grey level and falls off at its edges, a gradient tells nothing, and a step of
    all pixels at once always leaves some level. But such a flow knows each pixel's density given those before it. The
    proposal draws the hidden pixels of a window in that order, each given those before it; in the ratio of Hastings
    (1970, "Monte Carlo sampling methods using Markov chains and their applications") their own densities cancel, and
    what decides is how likely the pixels outside the window are after the old and after the new ones. The target is
    p^(1 / temperature). ``step_size`` multiplies the windows' sides.

    The second half of the steps is that chain: ``acceptance`` is of that half. The first half looks for a place to
    begin, of which nothing need be exact: a step draws many windows apart from each other, each kept by what changes in
    its own surroundings, and the next one looks what has become of the density, which until then is known in parts
    only. There is no gradient.
    """

    name = "langevin"
    samples = True

    def set_out(self, flow: Flow, climb: Climb) -> Climb:
        # Chance is spent where draws that agree with what is known differ: at grey in the mean of black and white ones.
        unsure = torch.where(climb.hidden, climb.x * (1 - climb.x) + 0.02, 0.0)
        x, log_densities = self._drawn(flow, climb.x, climb.hidden, noise.derive(climb.keys, -3))
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
        everything, searching = _FIRST * climb.step < climb.steps, 2 * climb.step < climb.steps
        local = searching & ~everything
        # Every other step, unless the next one is of the chain, which must know the density of where it begins.
        many = local & (climb.step % 2 == 0) & (2 * climb.step + 2 < climb.steps)
        looking = local & ~many

        squares, cells = tiles(climb, noise.derive(key, 4))
        one = window(climb, climb.state["unsure"], noise.derive(key, 1))
        chosen = along(everything, climb.x) | torch.where(along(many, climb.x), squares, one)
        chosen = chosen & climb.hidden & ~along(looking, climb.x)
        cells = torch.where(along(many, cells), cells, 0)
        point, before = climb.state["point"], climb.state["log_densities"]
        x, log_densities = self._drawn(flow, point, chosen, noise.derive(key, 2))

        change = (log_densities - before).double()
        temperature = climb.temperature.clamp_min(torch.finfo(x.dtype).eps) * torch.where(searching, _GREED, 1.0)
        # Both the target and the proposal have the densities of what was drawn; at temperature 1 they cancel.
        gain = change / along(temperature.double(), change) - torch.where(chosen, change, 0.0)
        gains = torch.zeros_like(gain.flatten(1)).scatter_add(1, cells.expand_as(x).flatten(1), gain.flatten(1))
        lucky = noise.uniform(noise.derive(key, 3), gains.shape[1:]).log() < gains  # false for what is no number
        kept = lucky.gather(1, cells.expand_as(x).flatten(1)).view(x.shape) | along(looking, x)

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
        proposed, accepted = climb.proposed + ~searching, climb.accepted + (~searching & lucky[:, 0])
        return replace(ahead, proposed=proposed, accepted=accepted)

    def _drawn(self, flow: Flow, point: Tensor, chosen: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, *S) with the chosen entries (B, *S) drawn anew, and each entry's log-density (B, *S)."""
        x, log_densities = flow.redraw(point, chosen, noise.uniform(key, point.shape[1:]))
        return torch.where(chosen, x.clamp(0, below_one(x)), point), log_densities
