"""Whether nets of bfloat16 may answer for a model: what they change is measured at publish, on held-out items."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flows import Flow
from flows.nets.precision import with_bfloat16_nets
from model_store import manifest as m

BIAS, NOISE = 1e-3, 0.05
"""Below these it is harmless: bits per dimension by which log-likelihoods change on average, and the scatter of that
change as a share of their own spread, in which an item's place decides the verdict."""
_BATCH = 500


@torch.no_grad()
def measure_bfloat16(flow: Flow, items: Tensor) -> m.Bfloat16Note:
    """What nets of bfloat16 change in the log-likelihoods of items (N, ...), as a user sends them."""
    fast = with_bfloat16_nets(flow)
    batches = [flow.to_continuous(batch) for batch in torch.split(items, _BATCH)]
    exact = torch.cat([flow.log_prob(x).double().cpu() for x in batches])
    difference = torch.cat([fast.log_prob(x).double().cpu() for x in batches]) - exact
    return m.Bfloat16Note(
        items=len(items),
        mean=float(difference.mean()),
        std=float(difference.std(correction=0)),
        worst=float(difference.abs().max()),
        bits_per_dim=abs(float(difference.mean())) / (flow.dimensions * math.log(2)),
        noise=float(difference.std(correction=0) / exact.std(correction=0).clamp_min(1e-9)),
    )


def serving(flow: Flow, note: m.Bfloat16Note | None) -> Flow:
    """The flow that is to answer: one with nets of bfloat16 where those were found harmless, else the flow itself."""
    harmless = note is not None and note.bits_per_dim < BIAS and note.noise < NOISE
    return with_bfloat16_nets(flow) if harmless else flow
