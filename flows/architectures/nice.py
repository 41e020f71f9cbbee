"""NICE: additive couplings and a diagonal scaling (Dinh, Krueger & Bengio 2014, arXiv:1410.8516)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flows.architectures.arguments import Argument, Choice, Count, Flag, Numbers, Widths
from flows.errors import ArchitectureError
from flows.flow import Flow
from flows.nets import ACTIVATIONS, MLP, ConvNet
from flows.priors import PRIORS
from flows.transforms.columns import columns_of
from flows.transforms.coupling import AdditiveCoupling, EvenOdd
from flows.transforms.images import Checkerboard, Planes
from flows.transforms.preprocessing import Dequantise, Flatten, Unflatten
from flows.transforms.scaling import DiagonalScaling
from flows.transforms.transform import Transform
from flows.transforms.whitening import WHITENINGS

ARGUMENTS: Mapping[str, Argument] = {
    "couplings": Count(4),
    "hidden": Widths((1000, 1000, 1000, 1000, 1000)),
    "prior": Choice("logistic", PRIORS),
    "activation": Choice("relu", ACTIVATIONS),
    "whitening": Choice("none", WHITENINGS),
    "convolutional": Flag(False),
    "image": Flag(True),
    "steps": Numbers(),
    "levels": Numbers(whole=True),
}


def nice(
    item_shape: Sequence[int],
    *,
    couplings: int = 4,
    hidden: Sequence[int] = (1000, 1000, 1000, 1000, 1000),
    prior: str = "logistic",
    activation: str = "relu",
    whitening: str = "none",
    convolutional: bool = False,
    image: bool = True,
    steps: Sequence[float] = (),
    levels: Sequence[int] = (),
) -> Flow:
    """NICE. The defaults are the paper's MNIST preset (section 5.1): four couplings, five layers of 1000 units each.

    ``hidden`` are the layers of each coupling's perceptron. ``image`` says whether items are 8-bit pixels, which are
    dequantised, or float vectors. ``whitening`` names the first transform: "none" subtracts the mean, as the paper does
    for MNIST; the paper uses approximate whitening for TFD, and ZCA for SVHN and CIFAR-10. "robust-zca" is ZCA by a
    covariance in which images of high contrast count less (see ``Whitening``). With ``steps`` and
    ``levels`` vectors are rows of a table (see ``DequantiseColumns``).

    With ``convolutional``, which is not in the paper, couplings split images like a checkerboard, and their nets are
    those of Glow with ``hidden`` channels (see ``ConvNet``). One small net learns from all places of an image, where a
    fully connected one has weights of its own for each place. The images' sides must be even.

    >>> flows.nice((28, 28), couplings=2, hidden=[100]).log_prob(torch.rand(3, 28, 28)).shape
    torch.Size([3])
    """
    dimensions = math.prod(item_shape)
    latent = PRIORS[prior]((dimensions,))
    network: list[Transform] = [Flatten(item_shape), WHITENINGS[whitening](dimensions)]
    if convolutional:
        if not image or len(item_shape) not in (2, 3) or any(side % 2 for side in item_shape[:2]):
            raise ArchitectureError(f"convolutional: needs images with even sides, got items of {tuple(item_shape)}")
        planes = Planes(item_shape)
        network += [Unflatten(item_shape), planes]
        squares = [Checkerboard(planes.shape[0], parity=index) for index in range(couplings)]
        nets = [ConvNet(split.kept, hidden, split.changed, activation) for split in squares]
        network += [AdditiveCoupling(split, net) for split, net in zip(squares, nets, strict=True)]
        network.append(Flatten(planes.shape))
    else:
        for index in range(couplings):
            split = EvenOdd(dimensions, parity=index)
            network.append(AdditiveCoupling(split, MLP(split.kept, hidden, split.changed, activation)))
    return Flow(
        item_shape,
        [*network, DiagonalScaling(dimensions, target_std=latent.std)],
        latent,
        Dequantise() if image else None,
        columns_of(item_shape, steps, levels),
    )
