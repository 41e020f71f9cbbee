"""Log-likelihoods of many items under a flow."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow


@torch.no_grad()
def log_likelihoods(flow: Flow, items: Tensor, batch_size: int = 500) -> Tensor:
    """Log-likelihoods (N,) in nats, float64 on the CPU, of items (N, *item_shape) as a user sends them.

    Images get the dequantisation noise that the service gives them at seed 0, so these are the values that it answers.
    """
    batches = (items[first : first + batch_size] for first in range(0, max(1, len(items)), batch_size))
    return torch.cat([flow.log_prob(flow.to_continuous(batch)).double().cpu() for batch in batches])
