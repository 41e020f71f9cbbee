"""Adam's moments (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1) as a preconditioner, with moments for each row."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flows.inpainting.climb import Climb, along

_DECAY = 0.9
"""Decay of both moments. The gradient shrinks by orders of magnitude during an ascent. With the paper's 0.999, the
second moment would be dominated by the first steps until the end."""


def with_zero_moments(climb: Climb, like: Tensor) -> Climb:
    """The climb with both moments at zero, in the shape of the optimised variable ``like`` (B, ...)."""
    zeros = torch.zeros_like(like)
    return replace(climb, state={**climb.state, "momentum": zeros, "power": zeros})


def direction(climb: Climb, gradient: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The preconditioned gradient (B, ...), and the new moments. Its entries are near ±1 while gradients agree.

    Squares of float32 hold gradients between 1e-22 and 1e19: of what may have any unit, give the gradient in
    ``method.unit`` lengths.
    """
    momentum = _DECAY * climb.state["momentum"] + (1 - _DECAY) * gradient
    power = _DECAY * climb.state["power"] + (1 - _DECAY) * gradient.square()
    correction = 1 - _DECAY ** along(climb.step + 1, gradient).to(gradient.dtype)
    towards = (momentum / correction) / ((power / correction).sqrt() + torch.finfo(gradient.dtype).tiny)
    return towards, {"momentum": momentum, "power": power}
