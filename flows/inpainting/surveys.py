"""What items drawn from a flow look like. Inpainting takes its initial points and its unit of length from this."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flows import noise
from flows.flow import Flow

_FEW = 64
"""Draws of a survey that has to make its own. The mean and the spread need no more, and drawing takes time."""

_BATCH = 512


class Survey(NamedTuple):
    """Items that a flow drew, with the mean and the spread of each entry in the flow's continuous space.

    A survey describes the weights with which its items were drawn: make another one when the weights change.

    >>> flow = flows.nice((8, 8), hidden=[4])
    >>> survey = flows.inpainting.survey(flow)
    >>> survey.draws.dtype, survey.mean.shape
    (torch.uint8, torch.Size([8, 8]))
    """

    draws: Tensor
    """(N, *S): 8-bit levels of an image flow, points of a vector flow. None of a survey by ``survey_for``."""
    mean: Tensor
    """(*S)."""
    spread: Tensor
    """(*S): the standard deviation."""


def survey(flow: Flow) -> Survey:
    """The survey of 64 items drawn here, with the same keys every time.

    Drawing can cost as much as many inpainting steps: keep the result for as long as the weights stay the same.
    """
    with torch.inference_mode(False):
        points = draw(flow, noise.keys(0, _FEW, flow.device))
        return _summary(flow.to_items(points), points)


def survey_of(flow: Flow, items: Tensor) -> Survey:
    """The survey of items (N, *S) that the flow drew earlier (see ``draws``), on the flow's device."""
    with torch.inference_mode(False):
        # Tensors made in inference mode cannot take part in autograd later.
        items = items.clone() if items.is_inference() else items
        return _summary(items, level_centres(flow, items))


def survey_for(survey: Survey, flow: Flow) -> Survey:
    """The survey for pictures of another size, with the nets whose draws ``survey`` holds, without draws.

    Every pixel gets the mean and the spread of its colour. Initial points are then interpolated.
    """
    mean, spread = (
        each.mean(dim=(0, 1), keepdim=True).expand(flow.item_shape).clone() for each in (survey.mean, survey.spread)
    )
    return Survey(survey.draws.new_empty(0, *flow.item_shape), mean, spread)


def draws(flow: Flow, count: int) -> Tensor:
    """Items (count, *S) drawn with the first ``count`` keys: 8-bit levels of an image flow, points of a vector flow."""
    keys = noise.keys(0, count, flow.device)
    return torch.cat([flow.to_items(draw(flow, batch)) for batch in torch.split(keys, _BATCH)])


def draw(flow: Flow, keys: Tensor) -> Tensor:
    """One continuous sample (B, *S) for each key (B,), clipped to [0, 1] for an image flow."""
    latents = flow.prior.quantile(noise.uniform(keys, flow.prior.shape)).to(flow.dtype)
    with torch.no_grad():
        x, _ = flow.decode(latents)
    return x.clamp(0, 1) if flow.is_image else x


def level_centres(flow: Flow, items: Tensor) -> Tensor:
    """The centre (B, *S) of each 8-bit level of items (B, *S), in the flow's dtype; vectors unchanged."""
    return (items.to(flow.dtype) + 0.5) / 256 if flow.is_image else items


def _summary(items: Tensor, points: Tensor) -> Survey:
    return Survey(items, points.mean(dim=0), points.std(dim=0))
