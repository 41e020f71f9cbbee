"""Glow: activation normalisation, invertible 1x1 convolution and affine coupling (Kingma & Dhariwal 2018,
arXiv:1807.03039)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.flow import Flow
from flows.nets import ConvNet
from flows.priors import PRIORS
from flows.transforms.convolution import InvertibleConvolution
from flows.transforms.coupling import AffineCoupling
from flows.transforms.images import Halves, Planes, Shape, Squeeze, multi_scale
from flows.transforms.preprocessing import Dequantise, Logit
from flows.transforms.scaling import ActNorm
from flows.transforms.transform import Transform


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
    """The paper's flow of images whose sides are multiples of 2^levels; the defaults are its CIFAR-10 preset (table 4).

    Each of the ``levels`` scales is a squeeze and so many ``steps``; ``hidden`` are the channels inside a coupling's
    net. The half that is done behind a scale is first normalised given the half that goes on, by one affine coupling
    of a single layer: what the paper's code has as a learnt prior of that half. Other than the paper, it works on
    logits (``alpha``) as Real NVP does, and its couplings bound their log-scales as Real NVP's do.
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
