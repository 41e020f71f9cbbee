"""NICE: additive couplings and a diagonal scaling (Dinh, Krueger & Bengio 2014, arXiv:1410.8516)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.flow import Flow
from flows.nets import MLP
from flows.priors import PRIORS
from flows.transforms.coupling import AdditiveCoupling, EvenOdd
from flows.transforms.preprocessing import Dequantise, Flatten
from flows.transforms.scaling import DiagonalScaling
from flows.transforms.transform import Transform
from flows.transforms.whitening import WHITENINGS


def nice(
    item_shape: Sequence[int],
    *,
    couplings: int = 4,
    hidden: Sequence[int] = (1000, 1000, 1000, 1000, 1000),
    prior: str = "logistic",
    activation: str = "relu",
    whitening: str = "none",
    image: bool = True,
) -> Flow:
    """The paper's flow; the defaults are its MNIST preset (section 5.1): four couplings, five layers of 1000 units.

    ``image`` says whether items are 8-bit pixels, to be dequantised, or float vectors. ``whitening`` is what comes in
    front: with none the mean is taken off, as for the paper's MNIST; TFD has approximate whitening there, SVHN and
    CIFAR-10 have ZCA.
    """
    dimensions = math.prod(item_shape)
    latent = PRIORS[prior]((dimensions,))
    network: list[Transform] = [Flatten(item_shape), WHITENINGS[whitening](dimensions)]
    for index in range(couplings):
        split = EvenOdd(dimensions, parity=index)
        network.append(AdditiveCoupling(split, MLP(split.kept, hidden, split.changed, activation)))
    return Flow(
        item_shape,
        [*network, DiagonalScaling(dimensions, target_std=latent.std)],
        latent,
        Dequantise() if image else None,
    )
