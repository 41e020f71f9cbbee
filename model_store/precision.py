"""Whether nets of bfloat16 may answer for a model: what they change is measured at publish, on held-out items."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flows import Flow
from flows.nets.precision import with_bfloat16_nets
from model_store.manifest import Bfloat16Note

BIAS = 1e-3
"""Bits per dimension. A smaller mean change of the log-likelihoods is harmless."""
NOISE = 0.05
"""A smaller scatter of the change, as a share of the log-likelihoods' own standard deviation, is harmless.

The verdict depends on where an item lies within that spread.
"""
_BATCH = 500


@torch.no_grad()
def measure_bfloat16(flow: Flow, items: Tensor) -> Bfloat16Note:
    """Measure what nets of bfloat16 change in the log-likelihoods of items (N, *item_shape), as a user sends them."""
    fast = with_bfloat16_nets(flow)
    batches = [flow.to_continuous(batch) for batch in torch.split(items, _BATCH)]
    exact = torch.cat([flow.log_prob(x).double().cpu() for x in batches])
    difference = torch.cat([fast.log_prob(x).double().cpu() for x in batches]) - exact
    return Bfloat16Note(
        items=len(items),
        mean=float(difference.mean()),
        std=float(difference.std(correction=0)),
        worst=float(difference.abs().max()),
        bits_per_dim=abs(float(difference.mean())) / (flow.dimensions * math.log(2)),
        noise=float(difference.std(correction=0) / exact.std(correction=0).clamp_min(1e-9)),
    )


def serving(flow: Flow, note: Bfloat16Note | None) -> Flow:
    """The flow that is to answer: a copy with nets of bfloat16 where those are harmless, else the flow itself."""
    harmless = note is not None and note.bits_per_dim < BIAS and note.noise < NOISE
    return with_bfloat16_nets(flow) if harmless else flow
