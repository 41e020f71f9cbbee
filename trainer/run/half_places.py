"""Likelihoods of a lattice flow from a part of each image's places, for training steps that cost half."""

from __future__ import annotations

from torch import Tensor, nn

from flows import LatticeLevel
from flows.architectures.lattice_flow import LatticeFlow
from trainer.errors import TrainerError


class HalfPlaces(nn.Module):
    """Estimates (B,) of a flow's log-likelihoods, each from other places (``log_prob_from_few_places``).

    The choice is fixed: a step depends on no further draw, and a CUDA graph can record it. Raises TrainerError for a
    flow that is no lattice flow, or one without joint colours.
    """

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        joint = all(level.joint for level in flow.modules() if isinstance(level, LatticeLevel))
        if not isinstance(flow, LatticeFlow) or not joint:
            raise TrainerError("half_places: only a joint lattice flow can be trained on half of its places")
        self.flow = flow

    def forward(self, x: Tensor) -> Tensor:
        return self.flow.log_prob_from_few_places(x)
