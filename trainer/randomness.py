"""Every random draw of a run as a function of (seed, epoch, step), so that no generator's state need be kept.

A run that is resumed in the middle of an epoch draws what it would have drawn, and on another device too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow, noise


def batch_order(seed: int, epoch: int, count: int) -> Tensor:
    """A permutation (count,) of the training set, another one each epoch."""
    key = noise.derive(noise.keys(seed, 1), epoch)
    return torch.randperm(count, generator=torch.Generator().manual_seed(int(key)))


def noise_keys(seed: int, epoch: int, step: int, count: int, device: torch.device) -> Tensor:
    """The key (count,) of each row of a step's batch, which its noise follows from."""
    return noise.derive(noise.derive(noise.keys(seed, count, device), epoch), step)


def dequantise(flow: Flow, items: Tensor, keys: Tensor) -> Tensor:
    """Items (B, *item_shape) as a flow's continuous points, with noise from keys (B,) that are fresh in every step.

    ``Flow.to_continuous`` would give an image the same noise in every epoch, and a flow can learn that by heart.
    """
    if flow.dequantise is None:
        return items.to(flow.dtype)
    draws = noise.uniform(keys, flow.item_shape).to(flow.dtype)
    return flow.dequantise(items.to(flow.dtype), draws)[0]
