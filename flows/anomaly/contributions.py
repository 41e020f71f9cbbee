"""Which column makes a row unlikely: what the log-likelihood would gain if the column were as the others suggest.

For a column j of a row x, t runs over a grid of values of the column. The density of the flow, restricted to the line
on which only column j changes, gives the conditional distribution pi(t) = p(x_-j, t) / integral p(x_-j, s) ds. Then

    gain_j = sum_t pi(t) log p(x_-j, t) - log p(x)

is what the log-likelihood gains on average when the column is drawn anew given the others. It has no unit, so columns
can be compared. For an ordinary value it is 0 on average: it is the surprise -log pi(x_j) less its mean. The
expectation of t under pi is what the flow would have expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flows.flow import Flow

_ROWS = 4096
"""Rows that pass through a flow at once."""
ITEMS = 32
"""Rows of which the columns are varied together: always so many, so that no row's bits depend on the others."""


class Contributions(NamedTuple):
    """Of B rows with D columns, float64."""

    gain: Tensor
    """(B, D): nats that the log-likelihood gains when the column is drawn anew given the others."""
    expected: Tensor
    """(B, D): the expectation of the column given the others."""


@torch.no_grad()
def contributions(flows: Sequence[Flow], x: Tensor, grid: Tensor) -> Contributions:
    """The contributions of the columns of continuous points x (B, D), under the mean log-density of the flows.

    ``grid`` (D, S) holds ascending values of each column. S D passes of each row are needed.

    >>> flow = flows.nice((2,), image=False, hidden=[4])
    >>> grid = torch.linspace(-3, 3, 33).expand(2, 33)
    >>> gain, expected = flows.anomaly.contributions([flow], torch.tensor([[0.0, 4.0]]), grid)
    >>> bool(gain[0, 1] > gain[0, 0])
    True
    """
    parts = [_of_part(flows, part, grid.to(x)) for part in torch.split(x, ITEMS)]
    return Contributions(*(torch.cat(found) for found in zip(*parts, strict=True)))


def _of_part(flows: Sequence[Flow], x: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    count, columns = x.shape
    values = grid.shape[1]
    # A value's weight is the part of the line that is nearer to it than to the others.
    edges = torch.cat([grid[:, :1], (grid[:, 1:] + grid[:, :-1]) / 2, grid[:, -1:]], dim=1).double()
    widths = edges.diff(dim=1)
    own = _log_density(flows, x)
    gain, expected = own.new_empty(count, columns), own.new_empty(count, columns)
    for column in range(columns):
        varied = x[:, None, :].repeat(1, values, 1)
        varied[:, :, column] = grid[column]
        found = _log_density(flows, varied.flatten(0, 1)).view(count, values)
        weights = (found + widths[column].log()).softmax(dim=1)
        mean = (weights * found.clamp_min(-_LOWEST)).sum(dim=1)
        gain[:, column] = mean - own
        expected[:, column] = (weights * grid[column].double()).sum(dim=1)
    return gain, expected


def _log_density(flows: Sequence[Flow], x: Tensor) -> Tensor:
    """The mean over the flows of the log-density (B,), float64; very low instead of not finite."""
    found = [
        torch.cat([flow.log_prob(part).double() for part in torch.split(x, _ROWS)])
        .nan_to_num(nan=-_LOWEST, posinf=-_LOWEST, neginf=-_LOWEST)
        .clamp(-_LOWEST, _LOWEST)
        for flow in flows
    ]
    return torch.stack(found).mean(dim=0)


_LOWEST = 1e30
