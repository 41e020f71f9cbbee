"""Real NVP: affine couplings (Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.flow import Flow
from flows.nets import MLP, ResidualNet
from flows.priors import PRIORS
from flows.transforms.coupling import AffineCoupling, EvenOdd, Split
from flows.transforms.images import Checkerboard, Halves, Planes, Shape, Squeeze, multi_scale
from flows.transforms.preprocessing import Dequantise, Flatten, Logit
from flows.transforms.scaling import ActNorm
from flows.transforms.transform import Transform


def realnvp(
    item_shape: Sequence[int],
    *,
    couplings: int = 3,
    hidden: Sequence[int] = (64, 64, 64, 64, 64, 64, 64, 64),
    levels: int = 2,
    alpha: float = 0.05,
    prior: str = "normal",
    activation: str = "relu",
    image: bool = True,
) -> Flow:
    """The paper's flow; the defaults are its CIFAR-10 preset (section 4.1).

    Images, whose sides must be multiples of 2^levels: each of the ``levels`` scales has so many ``couplings`` of a
    checkerboard, a squeeze, and as many couplings of channels, before half of the channels is done; the last has one
    checkerboard coupling more and nothing behind it. ``hidden`` are the channels of the residual blocks in each
    coupling's net, ``alpha`` is the logit's.

    Vectors in any units, with ``image`` false: so many couplings, of perceptrons with the layers ``hidden``. ``levels``
    and ``alpha`` play no part.

    An activation normalisation stands where the paper has a batch normalisation, which would let an item's neighbours
    into its density.
    """

    def scale(shape: Shape, last: bool) -> tuple[list[Transform], Shape]:
        channels, height, width = shape
        squares = [Checkerboard(channels, index) for index in range(couplings + last)]
        coupled = [layer for split in squares for layer in step(split, channels)]
        if last:
            return coupled, shape
        halves = [Halves(4 * channels, index) for index in range(couplings)]
        squeezed = [layer for split in halves for layer in step(split, 4 * channels)]
        return [*coupled, Squeeze(), *squeezed], (4 * channels, height // 2, width // 2)

    def step(split: Split, channels: int) -> list[Transform]:
        net = (ResidualNet if image else MLP)(split.kept, hidden, 2 * split.changed, activation)
        return [AffineCoupling(split, net), ActNorm(channels)]

    dimensions = math.prod(item_shape)
    latent = PRIORS[prior]((dimensions,))
    if not image:
        splits = [EvenOdd(dimensions, index) for index in range(couplings)]
        network = [layer for split in splits for layer in step(split, dimensions)]
        return Flow(item_shape, [Flatten(item_shape), ActNorm(dimensions), *network], latent)
    planes = Planes(item_shape)
    network = [planes, Logit(alpha), ActNorm(planes.shape[0]), multi_scale(planes.shape, levels, scale)]
    return Flow(item_shape, [*network, ActNorm(dimensions)], latent, Dequantise())
