"""What a flow's own samples look like, entry by entry: where a climb sets out, and in which unit it steps."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow

Fingerprint = tuple[tuple[int, int], ...]

# Sampling can cost as much as many steps, and every climb asks for the same samples of the same weights.
_surveys: WeakKeyDictionary[Flow, tuple[Fingerprint, Tensor, Tensor]] = WeakKeyDictionary()


def survey(flow: Flow, count: int = 64) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of each entry (*S) in draws from the flow that are always the same.

    Remembered for as long as the flow lives and its weights are what they were.
    """
    weights = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in flow.state_dict().values())
    if flow not in _surveys or _surveys[flow][0] != weights:
        with torch.inference_mode(False):
            draws = draw(flow, noise.keys(0, count, flow.device))
            _surveys[flow] = weights, draws.mean(dim=0), draws.std(dim=0)
    return _surveys[flow][1:]


def draw(flow: Flow, keys: Tensor) -> Tensor:
    """One sample of the flow for each key (B,), continuous (B, *S), within [0, 1] for an image."""
    latents = flow.prior.quantile(noise.uniform(keys, flow.prior.shape)).to(flow.dtype)
    with torch.no_grad():
        x, _ = flow.decode(latents)
    return x.clamp(0, 1) if flow.is_image else x
