"""Noise that is added to vectors while a flow trains, shaped like the data, so that it does not learn single rows."""

from __future__ import annotations

import torch
from torch import Tensor

from flows import Flow, noise
from trainer.presets import Preset
from trainer.run.randomness import dequantise, noise_keys

_ROWS = 10_000
"""Training rows from which the covariance is estimated."""
_SHRINKAGE = 0.1
"""Weight of the variances alone: columns that are nearly combinations of others get a little noise of their own."""
_STREAM = 7
"""Which child stream of a row's key the noise is drawn from."""


class Jitter:
    """x + share L e for points x (B, D), with L L' their covariance in the training set and e standard normal."""

    def __init__(self, factor: Tensor) -> None:
        self.factor = factor

    @classmethod
    @torch.no_grad()
    def of(cls, flow: Flow, items: Tensor, preset: Preset) -> Jitter | None:
        """The noise that the preset asks for, from training items (N, D) on the flow's device, or None."""
        if not preset.jitter or flow.is_image:
            return None
        rows = items[:_ROWS]
        x = dequantise(flow, rows, noise_keys(0, 0, 0, len(rows), flow.device)).double()
        std = x.std(dim=0, correction=0).clamp_min(1e-30)
        scaled = (x - x.mean(dim=0)) / std
        correlation = (1 - _SHRINKAGE) * (scaled.T @ scaled) / len(x)
        correlation += (1 - correlation.diagonal()).diag()
        factor = torch.linalg.cholesky(correlation) * std[:, None]
        return cls((preset.jitter * factor).to(flow.dtype))

    def __call__(self, x: Tensor, keys: Tensor) -> Tensor:
        """x (B, D) with noise by keys (B,)."""
        draws = noise.normal(noise.derive(keys, _STREAM), x.shape[1:]).to(x.dtype)
        return x + draws @ self.factor.T
