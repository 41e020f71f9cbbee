"""Glow: activation normalisation, invertible 1x1 convolutions, affine couplings (Kingma & Dhariwal 2018,
arXiv:1807.03039)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flows.architectures.arguments import Argument, Choice, Count, Fraction, Widths
from flows.flow import Flow
from flows.nets import ACTIVATIONS, ConvNet
from flows.priors import PRIORS
from flows.transforms.convolution import InvertibleConvolution
from flows.transforms.coupling import AffineCoupling
from flows.transforms.images import Halves, Planes, Shape, Squeeze, multi_scale
from flows.transforms.preprocessing import Dequantise, Logit
from flows.transforms.scaling import ActNorm
from flows.transforms.transform import Transform

ARGUMENTS: Mapping[str, Argument] = {
    "steps": Count(32),
    "hidden": Widths((512, 512)),
    "levels": Count(3),
    "alpha": Fraction(0.05, below=0.5),
    "prior": Choice("normal", PRIORS),
    "activation": Choice("relu", ACTIVATIONS),
}


def glow(
    item_shape: Sequence[int],
    *,
    steps: int = 32,
    hidden: Sequence[int] = (512, 512),
    levels: int = 3,
    alpha: float = 0.05,
    prior: str = "normal",
    activation: str = "relu",
) -> Flow:
    """Glow. The defaults are the paper's CIFAR-10 preset (table 4).

    Images must have sides that are multiples of 2^levels. Each of the ``levels`` scales is a squeeze and ``steps``
    steps of flow. ``hidden`` are the channels inside each coupling's net. After a scale, half of the channels become
    latents; first, one affine coupling with a single layer normalises them given the other half, which corresponds to
    the learnt prior in the paper's code. Two things differ from the paper: the flow works on logits (``alpha`` is that
    of ``Logit``), and the couplings bound their log-scales. Both are as in Real NVP.

    >>> flow = flows.glow((8, 8, 3), steps=2, hidden=[16], levels=2)
    >>> flow.sample(1).shape
    torch.Size([1, 8, 8, 3])
    """

    def scale(shape: Shape, last: bool) -> tuple[list[Transform], Shape]:
        channels, height, width = 4 * shape[0], shape[1] // 2, shape[2] // 2
        layers: list[Transform] = [Squeeze()]
        for _ in range(steps):
            layers += [ActNorm(channels), InvertibleConvolution(channels), couple(channels, hidden)]
        if not last:
            layers.append(couple(channels, ()))
        return layers, (channels, height, width)

    def couple(channels: int, widths: Sequence[int]) -> AffineCoupling:
        split = Halves(channels, parity=0)
        return AffineCoupling(split, ConvNet(split.kept, widths, 2 * split.changed, activation))

    dimensions = math.prod(item_shape)
    planes = Planes(item_shape)
    network = [planes, Logit(alpha), multi_scale(planes.shape, levels, scale), ActNorm(dimensions)]
    return Flow(item_shape, network, PRIORS[prior]((dimensions,)), Dequantise())
