"""Likelihoods of a lattice flow from half of each image's places, for training steps that cost half."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows import LatticeLevel
from flows.architectures.lattice_flow import LatticeFlow
from trainer.errors import TrainerError


class Halves(nn.Module):
    """Estimates (B,) of a flow's log-likelihoods: the first half of a batch gives its even places, the rest the odd.

    Items are in random order, so the mean over a batch has the expectation of the mean log-likelihood. The choice
    is fixed: a step depends on no further draw, and a CUDA graph can record it. Raises TrainerError for a flow that is
    no lattice flow, or one without joint colours.
    """

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        levels = [level for level in flow.modules() if isinstance(level, LatticeLevel)]
        if not isinstance(flow, LatticeFlow) or not all(level.joint for level in levels):
            raise TrainerError("half_places: only a joint lattice flow can be trained on half of its places")
        self.flow, self.levels = flow, len(levels)

    def forward(self, x: Tensor) -> Tensor:
        parts = enumerate(x.chunk(2))
        return torch.cat([self.flow.half_log_prob(part, [start] * self.levels) for start, part in parts])
