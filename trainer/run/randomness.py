"""The random draws of a run, as functions of (seed, epoch, step) without any generator to save.

A run that is resumed in the middle of an epoch draws what it would have drawn without the stop, on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow, noise

_FLIP = 1
"""The child stream of a row's key that decides whether the image is turned over."""


def batch_order(seed: int, epoch: int, count: int) -> Tensor:
    """The order (count,) in which an epoch goes through the training set."""
    key = noise.derive(noise.keys(seed, 1), epoch)
    return torch.randperm(count, generator=torch.Generator().manual_seed(int(key)))


def noise_keys(seed: int, epoch: int, step: int | Tensor, count: int, device: torch.device) -> Tensor:
    """Keys (count,) from which the noise of each row of a step's batch is derived; (S, count) for steps (S, 1)."""
    return noise.derive(noise.derive(noise.keys(seed, count, device), epoch), step)


def augment(images: Tensor, keys: Tensor) -> Tensor:
    """Images (B, H, W) or (B, H, W, C), each turned over from left to right or not, as keys (B,) decide."""
    over = noise.derive(keys, _FLIP) & 1 == 1
    return torch.where(over.reshape(-1, *[1] * (images.ndim - 1)), images.flip(2), images)


def dequantise(flow: Flow, items: Tensor, keys: Tensor) -> Tensor:
    """Items (B, *item_shape) as continuous points of a flow, with noise from keys (B,).

    ``Flow.to_continuous`` would give an image the same noise in every epoch, and a flow could memorise it. Missing
    entries of a table's rows are drawn by the flow's completion alone.
    """
    if flow.columns is not None and flow.completion is not None:
        x, _ = flow.columns(items.to(flow.dtype), noise.uniform(keys, flow.item_shape))
        gone = x.isnan().any(dim=1)
        if x.device.type != "cpu":  # the host would wait to learn which rows these are
            return flow.completion.draw(x, noise.normal(noise.derive(keys, 1), flow.item_shape))[0]
        if bool(gone.any()):
            x[gone], _ = flow.completion.draw(x[gone], noise.normal(noise.derive(keys[gone], 1), flow.item_shape))
        return x
    if flow.dequantise is None:
        return items.to(flow.dtype)
    draws = noise.uniform(keys, flow.item_shape).to(flow.dtype)
    return flow.dequantise(items.to(flow.dtype), draws)[0]
