"""A flow with a Gaussian density, whose conditionals are known, and its inpaintings."""

from __future__ import annotations

import math
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn

import flows
from flows import inpainting, noise
from flows.inpainting import Climb

DIMENSIONS = 6
HIDDEN = torch.tensor([True, False, True, True, False, False])


class Options(TypedDict, total=False):
    """The arguments of ``inpainting.start`` that have defaults."""

    method: str
    step_size: float | Tensor
    temperature: float | Tensor


def gaussian(image: bool = False, stretch: float = 1.0) -> flows.Flow:
    """A Gaussian with correlated entries, in float64. As an image (2, 3) it has mean 1/2 and a spread near 0.1."""
    generator = torch.Generator().manual_seed(3)
    couplings = []
    for parity in (0, 1):
        split = flows.EvenOdd(DIMENSIONS, parity)
        net = nn.Linear(split.kept, split.changed)
        nn.init.normal_(net.weight, std=0.5, generator=generator)
        nn.init.normal_(net.bias, std=0.0 if image else 0.5, generator=generator)
        couplings.append(flows.AdditiveCoupling(split, net))
    centre, scaling = flows.Centre(DIMENSIONS), flows.DiagonalScaling(DIMENSIONS)
    with torch.no_grad():
        centre.mean.fill_(0.5 if image else 3.0)
        scaling.log_scale.copy_(torch.linspace(0, stretch, DIMENSIONS) + (math.log(10) if image else 0))
    shape = (2, 3) if image else (DIMENSIONS,)
    flow = flows.Flow(
        shape,
        [flows.Flatten(shape), centre, *couplings, scaling],
        flows.StandardNormal((DIMENSIONS,)),
        flows.Dequantise() if image else None,
    )
    return flow.double()


def conditional(flow: flows.Flow, x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (H,) and covariance (H, H) of the hidden entries of x (D,), given the others."""
    origin = torch.zeros(1, *flow.item_shape, dtype=torch.float64)
    bias = flow.encode(origin)[0][0]
    jacobian = torch.autograd.functional.jacobian(lambda p: flow.encode(p)[0][0], origin).reshape(DIMENSIONS, -1)
    precision = jacobian.T @ jacobian
    mean = -torch.linalg.solve(jacobian, bias)
    covariance = torch.linalg.inv(precision[HIDDEN][:, HIDDEN])
    pull = precision[HIDDEN][:, ~HIDDEN] @ (x.flatten() - mean)[~HIDDEN]
    return mean[HIDDEN] - covariance @ pull, covariance


def rows(flow: flows.Flow, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, *S) drawn from the flow, the same in every row, hidden entries (B, *S) and keys (B,)."""
    x = flow.sample(1, torch.Generator().manual_seed(5)).expand(count, *flow.item_shape).detach().clone()
    return x, HIDDEN.reshape(flow.item_shape).expand_as(x), noise.keys(11, count)


def climb_to_the_end(flow: flows.Flow, climb: Climb) -> Climb:
    while not climb.done.all():
        climb = inpainting.step(flow, climb)
    return climb


def begin(
    flow: flows.Flow, x: Tensor, hidden: Tensor, keys: Tensor, *, steps: int | Tensor, **options: Unpack[Options]
) -> Climb:
    return inpainting.start(flow, x, hidden, keys, survey=inpainting.survey(flow), steps=steps, **options)


def inpaint(
    flow: flows.Flow, x: Tensor, hidden: Tensor, keys: Tensor, *, steps: int | Tensor = 200, **options: Unpack[Options]
) -> Climb:
    return climb_to_the_end(flow, begin(flow, x, hidden, keys, steps=steps, **options))
