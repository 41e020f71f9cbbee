"""Adam's moments (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1), one set a row, as a preconditioner."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows.inpainting.climb import Climb, along

_DECAY = 0.9
"""Of both moments. The size of the gradient falls by orders of magnitude in a climb; the paper's 0.999 for the second
moment would remember the first steps to the end."""


def remember(climb: Climb, like: Tensor) -> Climb:
    """The climb with moments at zero, of the shape of what is optimised."""
    still = torch.zeros_like(like)
    return replace(climb, state={**climb.state, "momentum": still, "power": still})


def direction(climb: Climb, gradient: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The preconditioned gradient (B, ...), entries near 1 in size while gradients agree, and the new moments."""
    momentum = _DECAY * climb.state["momentum"] + (1 - _DECAY) * gradient
    power = _DECAY * climb.state["power"] + (1 - _DECAY) * gradient.square()
    correction = 1 - _DECAY ** along(climb.step + 1, gradient).to(gradient.dtype)
    towards = (momentum / correction) / ((power / correction).sqrt() + torch.finfo(gradient.dtype).tiny)
    return towards, {"momentum": momentum, "power": power}
