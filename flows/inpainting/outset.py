"""Where a climb sets out: from what the flow draws, and where it has sharp modes from draws that agree with the known.

A smooth likelihood leads from the mean of all draws to a mode that fits. Sharp modes catch a climb near where it
begins; there the mean of the draws that are nearest in the known entries, a kernel estimate of the conditional mean
(Nadaraya 1964, "On estimating regression"; Watson 1964), begins near modes that are worth climbing.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from flows import noise
from flows.flow import Flow
from flows.inpainting.climb import along
from flows.inpainting.survey import Survey, continuous, draw, survey

_NEAREST, _PICKED = 16, 12
"""So many draws make a mean, and so many of them that of a row which is to differ from others."""
_NINTH, _BORDER, _UNIT = 9, 8, 4
"""A border reaches over a ninth of the shorter side and weighs up to 8 times more; weights are rounded to a quarter."""
_CHUNK = 512


def outset(flow: Flow, x: Tensor, hidden: Tensor, keys: Tensor, away: Tensor) -> Tensor:
    """First points (B, *S) for what is hidden of x (B, *S); what they hold at known entries counts for nothing.

    ``away`` (B,) is how far from the mean towards a draw of its own each row begins. With sharp modes that would lead
    it astray; a row that is to begin elsewhere gets the mean of most of the nearest draws, which ones its key decides.
    """
    found = survey(flow)
    if flow.has_sharp_modes:
        return _nearest_mean(flow, found, x, hidden, keys, away > 0)
    if not bool((away > 0).any()):
        return found.mean.expand_as(x)
    return found.mean + along(away, x) * (draw(flow, noise.derive(keys, -1)) - found.mean)


def _nearest_mean(flow: Flow, found: Survey, x: Tensor, hidden: Tensor, keys: Tensor, picks: Tensor) -> Tensor:
    levels = flow.to_items(torch.where(hidden, 0, x))
    count = min(_NEAREST, len(found.draws))
    nearest = _distances(found.draws, levels, hidden, keys).topk(count, dim=1, largest=False).indices
    lots = noise.uniform(noise.derive(keys, -1), (count,)).argsort(dim=1).argsort(dim=1)
    weights = torch.where(picks[:, None] & (lots >= count * _PICKED // _NEAREST), 0.0, 1.0).to(x.dtype)
    weights /= weights.sum(dim=1, keepdim=True)
    mean = torch.zeros_like(x)
    for column, weight in zip(nearest.T, weights.T, strict=True):
        mean += along(weight, x) * continuous(flow, found.draws[column])
    return mean


def _distances(draws: Tensor, levels: Tensor, hidden: Tensor, keys: Tensor) -> Tensor:
    """(B, N) float64: how far each draw is from each row, in weighted squares over the known entries.

    All whole numbers, hence exact: a row has the same draws before it alone and in any batch. Of equally far ones the
    first goes first, and where nothing is known, chance decides.
    """
    weights = _weights(hidden)
    seen = weights * levels.flatten(1)
    columns = []
    for some in torch.split(draws.flatten(1), _CHUNK):
        points = some.double()
        columns.append(weights @ points.square().T - 2 * seen @ points.T)
    distances = torch.cat(columns, dim=1)
    blind = hidden.flatten(1).all(dim=1, keepdim=True)
    if bool(blind.any()):
        chance = noise.uniform(noise.derive(keys, -2), (len(draws),))
        distances = distances.where(~blind, (chance * 2**20).floor())
    return distances * len(draws) + torch.arange(len(draws), device=draws.device)


def _weights(hidden: Tensor) -> Tensor:
    """Whole numbers (B, D): none at what is hidden, and more the more of what is around a known entry is hidden.

    What goes on at a border tells most of what lies behind it.
    """
    planes = hidden.double().reshape(*hidden.shape[:3], -1).permute(0, 3, 1, 2)
    reach = max(min(planes.shape[2:]) // _NINTH, 1)
    around = planes
    for _ in range(2):  # a box twice: nearly a bell, and sums stay whole
        around = functional.avg_pool2d(around, 2 * reach + 1, 1, reach, divisor_override=1)
    share = around / (2 * reach + 1) ** 4
    weights = (_UNIT * (1 + _BORDER * share)).round() * (1 - planes)
    return weights.permute(0, 2, 3, 1).flatten(1)
