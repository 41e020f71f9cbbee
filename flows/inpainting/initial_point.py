"""The initial point of an inpainting, made of items that the flow drew.

A smooth log-likelihood leads from the mean of all draws to a mode that fits the known entries. On a flow with sharp
modes, ascent stays near its initial point. There it starts from the mean of the draws that are nearest in the known
entries: a kernel estimate of the conditional mean (Nadaraya 1964, "On estimating regression"; Watson 1964, "Smooth
regression analysis"). Where pictures have any size there are no draws of that size, and the known entries around a hole
are interpolated.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from flows import noise
from flows.flow import Flow
from flows.inpainting.climb import along
from flows.inpainting.interpolation import interpolated
from flows.inpainting.sharp_modes import SharpModes
from flows.inpainting.surveys import Survey, draw, level_centres
from flows.transforms.transform import is_true

_NEAREST, _PICKED = 16, 12
"""The number of nearest draws, and how many of them a row averages that shall differ from other rows."""

_BORDER_SHARE, _BORDER_WEIGHT, _WEIGHT_UNIT = 9, 8, 4
"""Known pixels within 1/9 of the shorter side of a hidden one weigh up to 8 times more, in steps of a quarter."""

_BATCH = 512


def initial_point(flow: Flow, survey: Survey, x: Tensor, hidden: Tensor, keys: Tensor, away: Tensor) -> Tensor:
    """Initial points (B, *S) for the hidden entries of x (B, *S); the values at known entries are to be ignored.

    ``away`` (B,) is how far a row starts from the mean, as a share of the way to a draw of its own. On a flow with
    ``SharpModes`` that would lead to a wrong mode; there a row with ``away`` > 0 averages 12 of the 16 nearest draws,
    which ones is decided by its key. Where the survey has no draws, the known entries are interpolated.
    """
    if isinstance(flow, SharpModes):
        if not len(survey.draws):
            return interpolated(x, hidden, survey.mean)
        return _nearest_mean(flow, survey, x, hidden, keys, away > 0)
    moves = away > 0
    if not is_true(moves.any(), elsewhere=True):
        return survey.mean.expand_as(x)
    drawn = survey.mean + along(away, x) * (draw(flow, noise.derive(keys, -1)) - survey.mean)
    return drawn.where(along(moves, x), survey.mean)


def _nearest_mean(flow: Flow, survey: Survey, x: Tensor, hidden: Tensor, keys: Tensor, picks: Tensor) -> Tensor:
    levels = flow.to_items(torch.where(hidden, 0, x))
    count = min(_NEAREST, len(survey.draws))
    nearest = _distances(survey.draws, levels, hidden, keys).topk(count, dim=1, largest=False).indices
    ranks = noise.uniform(noise.derive(keys, -1), (count,)).argsort(dim=1).argsort(dim=1)
    weights = torch.where(picks[:, None] & (ranks >= count * _PICKED // _NEAREST), 0.0, 1.0).to(x.dtype)
    weights /= weights.sum(dim=1, keepdim=True)
    mean = torch.zeros_like(x)
    for column, weight in zip(nearest.T, weights.T, strict=True):
        mean += along(weight, x) * level_centres(flow, survey.draws[column])
    return mean


def _distances(draws: Tensor, levels: Tensor, hidden: Tensor, keys: Tensor) -> Tensor:
    """Weighted squared distances (B, N), float64, of each row's known levels (B, *S) to each draw (N, *S).

    All values are integers, so they are exact, and a row finds the same draws alone and in any batch. Ties go to the
    earlier draw. For rows without known entries the order is random, from the row's key.
    """
    weights = _weights(hidden)
    known = weights * levels.flatten(1)
    columns = []
    for batch in torch.split(draws.flatten(1), _BATCH):
        points = batch.double()
        columns.append(weights @ points.square().T - 2 * known @ points.T)
    distances = torch.cat(columns, dim=1)
    all_hidden = hidden.flatten(1).all(dim=1, keepdim=True)
    if is_true(all_hidden.any(), elsewhere=True):
        random = noise.uniform(noise.derive(keys, -2), (len(draws),))
        distances = distances.where(~all_hidden, (random * 2**20).floor())
    return distances * len(draws) + torch.arange(len(draws), device=draws.device)


def _weights(hidden: Tensor) -> Tensor:
    """Integer weights (B, D): zero at hidden entries, larger at known entries with more hidden ones around them.

    The pixels along the border of a hole say most about what belongs in it.
    """
    planes = hidden.double().reshape(*hidden.shape[:3], -1).permute(0, 3, 1, 2)
    reach = max(min(planes.shape[2:]) // _BORDER_SHARE, 1)
    around = planes
    for _ in range(2):  # a box filter twice is nearly a Gaussian, and its sums stay integers
        around = functional.avg_pool2d(around, 2 * reach + 1, 1, reach, divisor_override=1)
    share = around / (2 * reach + 1) ** 4
    weights = (_WEIGHT_UNIT * (1 + _BORDER_WEIGHT * share)).round() * (1 - planes)
    return weights.permute(0, 2, 3, 1).flatten(1)
