"""Which column makes a row unlikely: what the log-likelihood would gain if the column were as the others suggest.

For a column j of a row x, t runs over a grid of values of the column. The density of the flow, restricted to the line
on which only column j changes, gives the conditional distribution pi(t) = p(x_-j, t) / integral p(x_-j, s) ds. Then

    gain_j = sum_t pi(t) log p(x_-j, t) - log p(x)

is what the log-likelihood gains on average when the column is drawn anew given the others. It has no unit, so columns
can be compared. For an ordinary value it is 0 on average: it is the surprise -log pi(x_j) less its mean. The
expectation of t under pi is what the flow would have expected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Density = Callable[[Tensor], Tensor]
"""From continuous points (B, D) to log-densities (B,), such as a flow of vectors."""

_ROWS = 4096
"""Rows that pass through a flow at once."""
_EVERY = 2
_DEVIATIONS = (-3.0, -2.0, -1.5, -1.0, -0.6, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0)
"""Where values lie around a conditional mean, in deviations. Every second value of the grid is then enough."""
ITEMS = 32
"""Rows of which the columns are varied together. The last part has fewer: last bits of a row may depend on how many."""


class Contributions(NamedTuple):
    """Of B rows with D columns, float64."""

    gain: Tensor
    """(B, D): nats that the log-likelihood gains when the column is drawn anew given the others."""
    expected: Tensor
    """(B, D): the expectation of the column given the others."""


@torch.no_grad()
def contributions(
    densities: Sequence[Density], x: Tensor, grid: Tensor, near: tuple[Tensor, Tensor] | None = None
) -> Contributions:
    """The contributions of the columns of continuous points x (B, D), under the mean of log-densities.

    ``grid`` (D, S) holds ascending values of each column. ``near`` gives a mean and a deviation (B, D) of each column
    given the others, around which further values are taken: where columns depend on each other closely, few values of
    a grid are likely ones. About S D passes of each row are needed.

    >>> flow = flows.nice((2,), image=False, hidden=[4])
    >>> grid = torch.linspace(-3, 3, 33).expand(2, 33)
    >>> gain, expected = flows.anomaly.contributions([flow], torch.tensor([[0.0, 4.0]]), grid)
    >>> bool(gain[0, 1] > gain[0, 0])
    True
    """
    values = grid.to(x).expand(len(x), *grid.shape)
    if near is not None:
        mean, std = (part.to(x)[:, :, None] for part in near)
        values = torch.cat([values[:, :, ::_EVERY], mean + std * torch.tensor(_DEVIATIONS).to(x)], dim=2)
        values = values.sort(dim=2).values
    parts = [_of_part(densities, *part) for part in zip(torch.split(x, ITEMS), torch.split(values, ITEMS), strict=True)]
    return Contributions(*(torch.cat(found) for found in zip(*parts, strict=True)))


def _of_part(densities: Sequence[Density], x: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Of points (B, D), with values (B, D, S) for each column."""
    count, columns, size = values.shape
    # A value's weight is the part of the line that is nearer to it than to the others.
    middles = (values[:, :, 1:] + values[:, :, :-1]) / 2
    widths = torch.cat([values[:, :, :1], middles, values[:, :, -1:]], dim=2).double().diff(dim=2)
    # All values of a column that is constant are one: none of them counts more than another.
    widths = widths.where((widths > 0).any(dim=2, keepdim=True), 1.0)
    own = _log_density(densities, x)
    gain, expected = own.new_empty(count, columns), own.new_empty(count, columns)
    for column in range(columns):
        varied = x[:, None, :].repeat(1, size, 1)
        varied[:, :, column] = values[:, column]
        found = _log_density(densities, varied.flatten(0, 1)).view(count, size)
        weights = (found + widths[:, column].log()).softmax(dim=1)
        mean = (weights * found.clamp_min(-_LOWEST)).sum(dim=1)
        gain[:, column] = mean - own
        expected[:, column] = (weights * values[:, column].double()).sum(dim=1)
    return gain, expected


def _log_density(densities: Sequence[Density], x: Tensor) -> Tensor:
    """The mean of the log-densities (B,), float64; very low instead of not finite."""
    found = [
        torch.cat([density(part).double() for part in torch.split(x, _ROWS)])
        .nan_to_num(nan=-_LOWEST, posinf=-_LOWEST, neginf=-_LOWEST)
        .clamp(-_LOWEST, _LOWEST)
        for density in densities
    ]
    return torch.stack(found).mean(dim=0)


_LOWEST = 1e30
