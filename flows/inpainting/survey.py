"""What a flow's own draws look like: where a climb sets out, and in which unit it steps."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow

Fingerprint = tuple[tuple[int, int], ...]

_FEW, _TOGETHER = 64, 512


class Survey(NamedTuple):
    """Items that a flow drew, and their mean and spread entry by entry in its continuous space."""

    draws: Tensor
    """(N, *S), in the order of the keys that they were made with; of an image 8-bit levels."""
    mean: Tensor
    """(*S)."""
    spread: Tensor
    """(*S), the standard deviation."""


# Drawing can cost as much as many steps, and every climb asks for the same draws of the same weights.
_surveys: WeakKeyDictionary[Flow, tuple[Fingerprint, Survey]] = WeakKeyDictionary()


def survey(flow: Flow) -> Survey:
    """That of the draws which ``acquaint`` was given, or of a few that are always the same.

    Remembered for as long as the flow lives and its weights are what they were.
    """
    if flow not in _surveys or _surveys[flow][0] != _fingerprint(flow):
        with torch.inference_mode(False):
            points = draw(flow, noise.keys(0, _FEW, flow.device))
            _remember(flow, flow.to_items(points), points)
    return _surveys[flow][1]


def acquaint(flow: Flow, items: Tensor) -> None:
    """Remember items (N, *S) that the flow drew, as ``draws`` gives them and on its device: more than it would draw."""
    with torch.inference_mode(False):
        items = items.clone() if items.is_inference() else items
        _remember(flow, items, continuous(flow, items))


def draws(flow: Flow, count: int) -> Tensor:
    """What the flow draws with the first ``count`` keys (count, *S): levels of an image, vectors as they are."""
    keys = noise.keys(0, count, flow.device)
    return torch.cat([flow.to_items(draw(flow, some)) for some in torch.split(keys, _TOGETHER)])


def draw(flow: Flow, keys: Tensor) -> Tensor:
    """One sample of the flow for each key (B,), continuous (B, *S), within [0, 1] for an image."""
    latents = flow.prior.quantile(noise.uniform(keys, flow.prior.shape)).to(flow.dtype)
    with torch.no_grad():
        x, _ = flow.decode(latents)
    return x.clamp(0, 1) if flow.is_image else x


def continuous(flow: Flow, items: Tensor) -> Tensor:
    """The middle (B, *S) of each level of items (B, *S), in the flow's dtype; vectors as they are."""
    return (items.to(flow.dtype) + 0.5) / 256 if flow.is_image else items


def _remember(flow: Flow, items: Tensor, points: Tensor) -> None:
    _surveys[flow] = _fingerprint(flow), Survey(items, points.mean(dim=0), points.std(dim=0))


def _fingerprint(flow: Flow) -> Fingerprint:
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in flow.state_dict().values())
