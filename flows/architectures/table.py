"""A flow for rows of a table, which starts as a normal or logistic distribution of decorrelated columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flows.architectures.arguments import Argument, Choice, Count, Numbers, Widths
from flows.flow import Flow
from flows.nets import ACTIVATIONS, MLP
from flows.priors import PRIORS
from flows.transforms.columns import columns_of
from flows.transforms.coupling import AdditiveCoupling, AffineCoupling, Coupling, EvenOdd
from flows.transforms.preprocessing import Flatten
from flows.transforms.scaling import DiagonalScaling
from flows.transforms.spline_coupling import SplineCoupling
from flows.transforms.transform import Transform
from flows.transforms.whitening import Standardise, Whitening

COUPLINGS = ("spline", "affine", "additive")
_LOG_SCALE_BOUND = 1.5
"""Bound of an affine coupling's log-scale. Of few rows, a wider one mostly learns noise; and inverses stay accurate."""

ARGUMENTS: Mapping[str, Argument] = {
    "coupling": Choice("spline", dict.fromkeys(COUPLINGS)),
    "couplings": Count(4),
    "hidden": Widths((64, 64)),
    "bins": Count(8),
    "prior": Choice("logistic", PRIORS),
    "activation": Choice("relu", ACTIVATIONS),
    "steps": Numbers(),
    "levels": Numbers(whole=True),
}


def table(
    item_shape: Sequence[int],
    *,
    coupling: str = "spline",
    couplings: int = 4,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
    prior: str = "logistic",
    activation: str = "relu",
    steps: Sequence[float] = (),
    levels: Sequence[int] = (),
) -> Flow:
    """A flow of vectors in any unit: columns are standardised and decorrelated, then pass through couplings.

    The correlations are shrunk (see ``Whitening``), so that the first density is a sensible one for few rows in many
    columns, and couplings start as the identity. ``coupling`` names the kind: rational-quadratic splines with ``bins``,
    affine maps with bounded log-scales, or translations, which are the most robust. ``steps`` and ``levels`` describe
    the columns (see ``DequantiseColumns``).

    >>> flow = flows.table((3,), coupling="affine", hidden=[16], steps=[0.0, 1.0, 0.0])
    >>> flow.log_prob(flow.to_continuous(torch.tensor([[0.5, 2.0, torch.nan]]))).shape
    torch.Size([1])
    """
    dimensions = math.prod(item_shape)
    latent = PRIORS[prior]((dimensions,))

    def layer(split: EvenOdd) -> Coupling:
        if coupling == "spline":
            outputs = split.changed * SplineCoupling.parameters_of(bins)
            return SplineCoupling(split, MLP(split.kept, hidden, outputs, activation), bins)
        if coupling == "affine":
            net = MLP(split.kept, hidden, 2 * split.changed, activation)
            return AffineCoupling(split, net, bound=_LOG_SCALE_BOUND)
        return AdditiveCoupling(split, MLP(split.kept, hidden, split.changed, activation))

    network: list[Transform] = [layer(EvenOdd(dimensions, parity=index)) for index in range(couplings)]
    return Flow(
        item_shape,
        [
            Flatten(item_shape),
            Standardise(dimensions),
            Whitening(dimensions, shrunk=True),
            *network,
            DiagonalScaling(dimensions, target_std=latent.std),
        ],
        latent,
        columns=columns_of(item_shape, steps, levels),
    )
