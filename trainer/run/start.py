"""Weights that a run starts from in place of random ones: those of a published flow of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import flows
from trainer.errors import TrainerError
from trainer.run.state import TrainingState


@dataclass(frozen=True, kw_only=True)
class Start:
    """A published flow whose weights a run starts from."""

    reference: str
    """``name@version``."""
    digest: str
    """SHA-256 of the weights: what the run depends on, whatever the name."""
    architecture: str
    item_shape: tuple[int, ...]
    arguments: Mapping[str, Any]
    weights: Mapping[str, Tensor] = field(repr=False)

    def fits(self, architecture: str, item_shape: tuple[int, ...], arguments: Mapping[str, Any]) -> None:
        """Raise TrainerError, which tells what differs, unless the weights fit such a flow."""
        if self.architecture != architecture:
            raise TrainerError(f"--start: {self.reference} is a {self.architecture} flow, not {architecture}")
        if self.item_shape != tuple(item_shape):
            raise TrainerError(f"--start: {self.reference} is of items {self.item_shape}, not {tuple(item_shape)}")
        known = flows.ARCHITECTURES[architecture]
        own, wanted = known.whole(self.arguments), known.whole(arguments)
        if differ := sorted(name for name in own if own[name] != wanted[name] and known.arguments[name].shapes):
            raise TrainerError(f"--start: {self.reference} is a flow of other arguments ({', '.join(differ)})")

    @torch.no_grad()
    def give_to(self, state: TrainingState) -> None:
        """Set the weights of a fresh state, and of its moving average, to these."""
        for flow in (state.flow, *([] if state.average is None else [state.average])):
            flow.load_state_dict(dict(self.weights))
