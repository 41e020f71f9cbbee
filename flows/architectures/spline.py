"""Neural spline flow of vectors: rational-quadratic spline couplings (Durkan et al. 2019, arXiv:1906.04032)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flows.architectures.arguments import Argument, Choice, Count, Numbers, Widths
from flows.flow import Flow
from flows.nets import ACTIVATIONS, MLP
from flows.priors import PRIORS
from flows.transforms.columns import columns_of
from flows.transforms.coupling import EvenOdd
from flows.transforms.preprocessing import Flatten
from flows.transforms.scaling import ActNorm
from flows.transforms.spline_coupling import SplineCoupling
from flows.transforms.transform import Transform

ARGUMENTS: Mapping[str, Argument] = {
    "couplings": Count(6),
    "hidden": Widths((64, 64)),
    "bins": Count(8),
    "prior": Choice("normal", PRIORS),
    "activation": Choice("relu", ACTIVATIONS),
    "steps": Numbers(),
    "levels": Numbers(whole=True),
}


def spline(
    item_shape: Sequence[int],
    *,
    couplings: int = 6,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
    prior: str = "normal",
    activation: str = "relu",
    steps: Sequence[float] = (),
    levels: Sequence[int] = (),
) -> Flow:
    """A flow of vectors, in any unit: ``couplings`` spline couplings whose nets are perceptrons with layers ``hidden``.

    ``steps`` and ``levels`` say that vectors are rows of a table (see ``DequantiseColumns``).

    >>> flows.spline((2,), couplings=2, hidden=[16]).log_prob(torch.randn(5, 2)).shape
    torch.Size([5])
    """
    dimensions = math.prod(item_shape)
    network: list[Transform] = []
    for index in range(couplings):
        split = EvenOdd(dimensions, parity=index)
        net = MLP(split.kept, hidden, split.changed * SplineCoupling.parameters_of(bins), activation)
        network += [SplineCoupling(split, net, bins), ActNorm(dimensions)]
    return Flow(
        item_shape,
        [Flatten(item_shape), ActNorm(dimensions), *network],
        PRIORS[prior]((dimensions,)),
        columns=columns_of(item_shape, steps, levels),
    )
