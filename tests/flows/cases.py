"""The list of transforms and flows: each entry must pass all parametrised tests of this directory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

import flows
from flows import Flow, Transform

Module = TypeVar("Module", bound=nn.Module)


class TransformCase(NamedTuple):
    make: Callable[[], Transform]
    points: Callable[[], Tensor]
    """A batch inside the domain, float64."""


def _vectors(dimensions: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(5, dimensions, dtype=torch.float64)


def _images(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(5, *shape, dtype=torch.float64)


def _coupling(dimensions: int, parity: int, activation: str = "relu") -> Transform:
    split = flows.EvenOdd(dimensions, parity)
    return flows.AdditiveCoupling(split, flows.MLP(split.kept, [16, 16], split.changed, activation))


def _affine(dimensions: int, parity: int) -> Transform:
    split = flows.EvenOdd(dimensions, parity)
    return flows.AffineCoupling(split, flows.MLP(split.kept, [16, 16], 2 * split.changed))


def _spline(dimensions: int, parity: int, bins: int) -> Transform:
    split = flows.EvenOdd(dimensions, parity)
    outputs = split.changed * flows.SplineCoupling.parameters_of(bins)
    return flows.SplineCoupling(split, flows.MLP(split.kept, [16], outputs), bins)


def _image_coupling(split: flows.Split, net: type[flows.ConvNet | flows.ResidualNet]) -> Transform:
    return flows.AffineCoupling(split, net(split.kept, [5, 5], 2 * split.changed))


def _two_scales() -> Transform:
    """(3, 4, 4) -> (48,), where half of the channels become latents after the first scale."""
    scales = [flows.Compose([flows.Squeeze(), flows.InvertibleConvolution(12)]), flows.Compose([flows.Squeeze()])]
    return flows.MultiScale(scales, [(12, 2, 2), (24, 1, 1)])


TRANSFORMS: dict[str, TransformCase] = {
    "additive-even": TransformCase(lambda: _coupling(6, 0), _vectors(6)),
    "additive-odd-size": TransformCase(lambda: _coupling(7, 1, "leaky_relu"), _vectors(7)),
    "affine-even": TransformCase(lambda: _affine(6, 0), _vectors(6)),
    "affine-odd-size": TransformCase(lambda: _affine(7, 1), _vectors(7)),
    "actnorm": TransformCase(lambda: flows.ActNorm(6), _vectors(6)),
    "actnorm-channels": TransformCase(lambda: flows.ActNorm(3), _images(3, 2, 4)),
    "spline-even": TransformCase(lambda: _spline(6, 0, bins=5), _vectors(6)),
    "spline-odd-size": TransformCase(lambda: _spline(3, 1, bins=2), _vectors(3)),
    "convolution": TransformCase(lambda: flows.InvertibleConvolution(4), _images(4, 2, 3)),
    "convolution-vector": TransformCase(lambda: flows.InvertibleConvolution(5), _vectors(5)),
    "planes": TransformCase(lambda: flows.Planes((2, 4, 3)), _images(2, 4, 3)),
    "squeeze": TransformCase(flows.Squeeze, _images(3, 2, 4)),
    "checkerboard-even": TransformCase(
        lambda: _image_coupling(flows.Checkerboard(1, 0), flows.ResidualNet), _images(1, 4, 4)
    ),
    "checkerboard-odd": TransformCase(
        lambda: _image_coupling(flows.Checkerboard(2, 1), flows.ConvNet), _images(2, 2, 4)
    ),
    "halves-even": TransformCase(lambda: _image_coupling(flows.Halves(4, 0), flows.ConvNet), _images(4, 2, 2)),
    "halves-odd-size": TransformCase(lambda: _image_coupling(flows.Halves(3, 1), flows.ResidualNet), _images(3, 2, 2)),
    "two-scales": TransformCase(_two_scales, _images(3, 4, 4)),
    "logit": TransformCase(flows.Logit, lambda: torch.rand(5, 2, 3, dtype=torch.float64)),
    "scaling": TransformCase(lambda: flows.DiagonalScaling(6), _vectors(6)),
    "centre": TransformCase(lambda: flows.Centre(6), _vectors(6)),
    "standardise": TransformCase(lambda: flows.Standardise(6), _vectors(6)),
    "zca": TransformCase(lambda: flows.Whitening(6), _vectors(6)),
    "robust-whitening": TransformCase(lambda: flows.Whitening(6, robust=True), _vectors(6)),
    "shrunk-whitening": TransformCase(lambda: flows.Whitening(6, shrunk=True), _vectors(6)),
    "approximate-whitening": TransformCase(lambda: flows.Whitening(6, components=2), _vectors(6)),
    "columns": TransformCase(lambda: flows.DequantiseColumns([0.0] * 6), _vectors(6)),
    "flatten": TransformCase(lambda: flows.Flatten((2, 3)), lambda: torch.randn(5, 2, 3, dtype=torch.float64)),
    "unflatten": TransformCase(lambda: flows.Unflatten((2, 3)), _vectors(6)),
    "compose": TransformCase(
        lambda: flows.Compose([_coupling(6, 0), flows.DiagonalScaling(6), _coupling(6, 1)]), _vectors(6)
    ),
}


class FlowCase(NamedTuple):
    architecture: str
    item_shape: tuple[int, ...]
    arguments: dict[str, object]
    round_trip: float = 1e-5
    """The tolerance of decode in float32, in data units: larger for densities with valleys, where z hardly changes."""

    contrast: float = 1.0
    """Of the points of an image flow. Where pixels are guessed from their neighbours, noise of full contrast amplifies
    what is rounded in one lattice in every lattice after it."""

    def make(self) -> Flow:
        return flows.build(self.architecture, self.item_shape, self.arguments)

    def points(self) -> Tensor:
        """A batch of continuous points, float64: in the unit cube for images, anywhere for vectors."""
        if not self.make().is_image:
            return torch.randn(5, *self.item_shape, dtype=torch.float64)
        return 0.5 + self.contrast * (torch.rand(5, *self.item_shape, dtype=torch.float64) - 0.5)


FLOWS: dict[str, FlowCase] = {
    "nice-image": FlowCase("nice", (4, 4), {"hidden": [16, 16]}),
    "nice-colour": FlowCase("nice", (3, 3, 3), {"hidden": [16], "couplings": 3, "prior": "normal"}),
    "nice-vector": FlowCase("nice", (5,), {"hidden": [16], "activation": "leaky_relu", "image": False}),
    "lattice-image": FlowCase("lattice", (8, 4), {"width": 6, "blocks": 1, "components": 3}, round_trip=1e-3),
    "lattice-colour": FlowCase("lattice", (4, 4, 3), {"width": 6, "blocks": 1, "components": 2}, round_trip=1e-3),
    "lattice-joint": FlowCase("lattice", (8, 4), {"width": 6, "blocks": 1, "components": 2, "joint": True}, 1e-3),
    "lattice-joint-colour": FlowCase(
        "lattice", (8, 4, 3), {"width": 6, "blocks": 1, "components": 2, "joint": True}, round_trip=1e-3
    ),
    "lattice-joint-heads": FlowCase(
        "lattice",
        (4, 8, 3),
        {"width": 6, "blocks": 1, "components": 2, "joint": True, "head_layers": 2},
        round_trip=1e-2,  # one of its pixels lies where the inverse is steep: 0.0023 in two threads, less in one
    ),
    "lattice-quartered": FlowCase(
        "lattice", (16, 16), {"width": 4, "blocks": 1, "components": 2, "quartered": 2}, round_trip=1e-3
    ),
    "lattice-interpolated": FlowCase(
        "lattice",
        (4, 8, 3),
        {"width": 4, "blocks": 1, "components": 2, "joint": True, "interpolate": True},
        round_trip=1e-3,
        contrast=0.3,
    ),
    "lattice-stepped": FlowCase(
        "lattice", (8, 4, 3), {"width": 6, "blocks": 1, "components": 2, "joint": True, "stepped": True}, 1e-3
    ),
    "lattice-stepped-apart": FlowCase(
        "lattice", (4, 8), {"width": 6, "blocks": 1, "components": 3, "stepped": True}, round_trip=1e-3
    ),
    "nice-zca": FlowCase("nice", (4, 4), {"hidden": [16], "whitening": "zca"}),
    "nice-robust": FlowCase("nice", (4, 4), {"hidden": [16], "whitening": "robust-zca"}),
    "nice-convolutional": FlowCase("nice", (4, 4), {"hidden": [5, 5], "convolutional": True}),
    "nice-convolutional-colour": FlowCase(
        "nice", (4, 6, 3), {"hidden": [5], "couplings": 3, "whitening": "zca", "convolutional": True}, round_trip=1e-4
    ),
    "nice-approximate": FlowCase("nice", (4, 4), {"hidden": [16], "whitening": "approximate"}),
    "nice-table": FlowCase("nice", (3,), {"hidden": [16], "whitening": "standardise", "image": False}),
    "nice-plane": FlowCase("nice", (2,), {"hidden": [16, 16], "image": False}),
    "nice-plane-normal": FlowCase("nice", (2,), {"hidden": [16], "prior": "normal", "image": False}),
    "realnvp-image": FlowCase("realnvp", (4, 4), {"hidden": [5, 5], "couplings": 1}),
    "realnvp-colour": FlowCase("realnvp", (4, 8, 3), {"hidden": [5], "couplings": 2, "levels": 1, "prior": "logistic"}),
    "realnvp-vector": FlowCase("realnvp", (5,), {"hidden": [16], "couplings": 4, "image": False}),
    "realnvp-plane": FlowCase("realnvp", (2,), {"hidden": [16, 16], "couplings": 4, "image": False}),
    "glow-image": FlowCase("glow", (4, 4), {"steps": 2, "hidden": [5, 5], "levels": 2}, round_trip=1e-4),
    "glow-colour": FlowCase(
        "glow", (2, 4, 3), {"steps": 2, "hidden": [5], "levels": 1, "alpha": 0.01}, round_trip=1e-4
    ),
    "spline-vector": FlowCase("spline", (5,), {"hidden": [16], "bins": 4, "couplings": 3}, round_trip=1e-4),
    "table-spline": FlowCase("table", (5,), {"hidden": [16], "bins": 4, "couplings": 3}, round_trip=1e-4),
    "table-affine": FlowCase("table", (4,), {"hidden": [16], "coupling": "affine", "steps": [0, 1, 0.25, 0]}),
    "table-additive": FlowCase("table", (2,), {"hidden": [16], "coupling": "additive", "prior": "normal"}),
    "spline-rows": FlowCase(
        "spline", (3,), {"hidden": [16], "bins": 4, "couplings": 2, "steps": [0, 1, 0.25]}, round_trip=1e-4
    ),
    "nice-rows": FlowCase("nice", (3,), {"hidden": [16], "image": False, "steps": [0, 1, 1], "levels": [0, 0, 4]}),
    "spline-plane": FlowCase("spline", (2,), {"hidden": [16], "couplings": 2}, round_trip=1e-4),
}


EXTREMES = (0.0, 1e-45, 1e-30, -1e-30, 0.5, 1.0, 1e4, -1e4, 1e15, -1e15)
"""Zero, tiny numbers (1e-45 is the smallest of float32), the middle and the end of the unit interval, large numbers,
and the largest whose squares float32 still holds, with room for what couplings add."""


def extremes(*shape: int) -> Tensor:
    """Items of a shape, float32: each extreme in all entries, each in the first entry only, and all of them in turn."""
    size, each = math.prod(shape), torch.tensor(EXTREMES)
    first = torch.zeros(len(each), size)
    first[:, 0] = each
    in_turn = each[torch.arange(size) % len(each)]
    return torch.cat([each[:, None].expand(-1, size), first, in_turn[None]]).reshape(-1, *shape)


def disturb(module: Module, scale: float = 0.2) -> Module:
    """Change every parameter and buffer: at their initial values couplings are the identity, which hides mistakes.

    Kernels with many inputs change less, so that outputs stay bounded.
    """
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            inputs = tensor[0].numel() if tensor.ndim > 1 else 1
            size = scale * min(1.0, 8 / math.sqrt(inputs))
            tensor += size * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        for part in module.modules():
            if isinstance(part, flows.Whitening):  # its directions must stay orthonormal: fit it to other data instead
                mixing = torch.randn(part.dimensions, part.dimensions, generator=generator, dtype=part.mean.dtype)
                part.initialise(torch.randn(100, part.dimensions, generator=generator, dtype=part.mean.dtype) @ mixing)
    return module
