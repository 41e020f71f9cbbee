"""Neural spline flow of vectors: rational-quadratic spline couplings (Durkan et al. 2019, arXiv:1906.04032)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.flow import Flow
from flows.nets import MLP
from flows.priors import PRIORS
from flows.transforms.coupling import EvenOdd
from flows.transforms.preprocessing import Flatten
from flows.transforms.scaling import ActNorm
from flows.transforms.spline_coupling import SplineCoupling
from flows.transforms.transform import Transform


def spline(
    item_shape: Sequence[int],
    *,
    couplings: int = 6,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
    prior: str = "normal",
    activation: str = "relu",
) -> Flow:
    """A flow of vectors, in any units: so many couplings of perceptrons with the layers ``hidden``."""
    dimensions = math.prod(item_shape)
    network: list[Transform] = []
    for index in range(couplings):
        split = EvenOdd(dimensions, parity=index)
        net = MLP(split.kept, hidden, split.changed * SplineCoupling.parameters_of(bins), activation)
        network += [SplineCoupling(split, net, bins), ActNorm(dimensions)]
    return Flow(item_shape, [Flatten(item_shape), ActNorm(dimensions), *network], PRIORS[prior]((dimensions,)))
