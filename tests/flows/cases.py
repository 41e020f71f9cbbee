"""The one list of transforms and flows: what joins it is asked every question of this directory."""

from __future__ import annotations

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


def _coupling(dimensions: int, parity: int, activation: str = "relu") -> Transform:
    split = flows.EvenOdd(dimensions, parity)
    return flows.AdditiveCoupling(split, flows.MLP(split.kept, [16, 16], split.changed, activation))


TRANSFORMS: dict[str, TransformCase] = {
    "additive-even": TransformCase(lambda: _coupling(6, 0), _vectors(6)),
    "additive-odd-size": TransformCase(lambda: _coupling(7, 1, "leaky_relu"), _vectors(7)),
    "scaling": TransformCase(lambda: flows.DiagonalScaling(6), _vectors(6)),
    "centre": TransformCase(lambda: flows.Centre(6), _vectors(6)),
    "standardise": TransformCase(lambda: flows.Standardise(6), _vectors(6)),
    "zca": TransformCase(lambda: flows.Whitening(6), _vectors(6)),
    "approximate-whitening": TransformCase(lambda: flows.Whitening(6, components=2), _vectors(6)),
    "flatten": TransformCase(lambda: flows.Flatten((2, 3)), lambda: torch.randn(5, 2, 3, dtype=torch.float64)),
    "compose": TransformCase(
        lambda: flows.Compose([_coupling(6, 0), flows.DiagonalScaling(6), _coupling(6, 1)]), _vectors(6)
    ),
}


class FlowCase(NamedTuple):
    architecture: str
    item_shape: tuple[int, ...]
    arguments: dict[str, object]

    def make(self) -> Flow:
        return flows.build(self.architecture, self.item_shape, self.arguments)

    def points(self) -> Tensor:
        """A batch of continuous points, float64: the unit cube for images, the plane for vectors."""
        draw = torch.rand if self.make().is_image else torch.randn
        return draw(5, *self.item_shape, dtype=torch.float64)


FLOWS: dict[str, FlowCase] = {
    "nice-image": FlowCase("nice", (4, 4), {"hidden": [16, 16]}),
    "nice-colour": FlowCase("nice", (3, 3, 3), {"hidden": [16], "couplings": 3, "prior": "normal"}),
    "nice-vector": FlowCase("nice", (5,), {"hidden": [16], "activation": "leaky_relu", "image": False}),
    "nice-zca": FlowCase("nice", (4, 4), {"hidden": [16], "whitening": "zca"}),
    "nice-approximate": FlowCase("nice", (4, 4), {"hidden": [16], "whitening": "approximate"}),
    "nice-table": FlowCase("nice", (3,), {"hidden": [16], "whitening": "standardise", "image": False}),
    "nice-plane": FlowCase("nice", (2,), {"hidden": [16, 16], "image": False}),
    "nice-plane-normal": FlowCase("nice", (2,), {"hidden": [16], "prior": "normal", "image": False}),
}


def disturb(module: Module, scale: float = 0.2) -> Module:
    """Move every parameter and buffer off its start: at the start, couplings are the identity and hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor += scale * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        for part in module.modules():
            if isinstance(part, flows.Whitening):  # not every number is one of a rotation: it moves by being fitted
                mixing = torch.randn(part.dimensions, part.dimensions, generator=generator, dtype=part.mean.dtype)
                part.initialise(torch.randn(100, part.dimensions, generator=generator, dtype=part.mean.dtype) @ mixing)
    return module
