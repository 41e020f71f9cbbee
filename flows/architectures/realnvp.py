"""Real NVP: affine couplings (Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flows.architectures.arguments import Argument, Choice, Count, Flag, Fraction, Widths
from flows.flow import Flow
from flows.nets import ACTIVATIONS, MLP, ResidualNet
from flows.priors import PRIORS
from flows.transforms.coupling import AffineCoupling, EvenOdd, Split
from flows.transforms.images import Checkerboard, Halves, Planes, Shape, Squeeze, multi_scale
from flows.transforms.preprocessing import Dequantise, Flatten, Logit
from flows.transforms.scaling import ActNorm
from flows.transforms.transform import Transform

ARGUMENTS: Mapping[str, Argument] = {
    "couplings": Count(3),
    "hidden": Widths((64, 64, 64, 64, 64, 64, 64, 64)),
    "levels": Count(2),
    "alpha": Fraction(0.05, below=0.5),
    "prior": Choice("normal", PRIORS),
    "activation": Choice("relu", ACTIVATIONS),
    "image": Flag(True),
}


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
    """Real NVP. The defaults are the paper's CIFAR-10 preset (section 4.1).

    Images must have sides that are multiples of 2^levels. Each of the ``levels`` scales has ``couplings`` couplings on
    a checkerboard, a squeeze and ``couplings`` couplings on channels; then half of the channels become latents. The
    last scale has one more checkerboard coupling and no squeeze. ``hidden`` are the channels of the residual blocks of
    each coupling's net; ``alpha`` is that of ``Logit``.

    Vectors, with ``image`` false, may be in any unit: ``couplings`` couplings whose nets are perceptrons with layers
    ``hidden``. ``levels`` and ``alpha`` have no effect.

    Where the paper has batch normalisation this flow has activation normalisation, because an item's density must not
    depend on its neighbours in the batch.

    >>> flow = flows.realnvp((2,), couplings=4, hidden=[16], image=False)
    >>> flow.sample(3).shape
    torch.Size([3, 2])
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
