"""The two calls of an inpainting: ``start`` and ``step``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor

from flows.errors import FlowError, ShapeMismatch
from flows.flow import Flow
from flows.inpainting.ascent import Ascent, Map, PaperAscent
from flows.inpainting.climb import Climb
from flows.inpainting.initial_point import initial_point
from flows.inpainting.langevin import Langevin
from flows.inpainting.latent import Latent
from flows.inpainting.method import Method, fill
from flows.inpainting.surveys import Survey
from flows.transforms.transform import is_true, within_domain

METHODS: Mapping[str, Method] = MappingProxyType(
    {method.name: method for method in (Ascent(), PaperAscent(), Map(), Langevin(), Latent())}
)


def start(
    flow: Flow,
    x: Tensor,
    hidden: Tensor,
    keys: Tensor,
    *,
    survey: Survey,
    method: str = "ascent",
    steps: int | Tensor,
    step_size: float | Tensor = 1.0,
    temperature: float | Tensor = 1.0,
) -> Climb:
    """Rows ready for their first step: x (B, *S) continuous, hidden (B, *S) bool, keys (B,) of ``flows.noise``.

    ``survey`` is of items that the flow drew (see ``survey`` and ``survey_of``). ``steps``, ``step_size`` and
    ``temperature`` are one value for all rows, or (B,).

    The values of x at hidden entries are ignored, NaN included. Hidden entries start from what the flow draws (see
    ``initial_point``), at a different point for each key if the method is random. A row without hidden entries, or
    with a limit of 0 steps, is done at once.

    Raises ShapeMismatch, and FlowError if the method is unknown. Known entries must be finite and, for an image, in
    [0, 1] (see ``within_domain``). Steps, step sizes and temperatures must be finite and not negative: on the CPU a
    FlowError says so, on a GPU nothing looks at them.
    """
    if method not in METHODS:
        raise FlowError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if tuple(x.shape[1:]) != flow.item_shape or hidden.shape != x.shape or keys.shape != x.shape[:1]:
        raise ShapeMismatch(
            f"expected x and hidden (B, {', '.join(map(str, flow.item_shape))}) and keys (B,), "
            f"got {tuple(x.shape)}, {tuple(hidden.shape)} and {tuple(keys.shape)}"
        )
    count, device = len(x), flow.device
    steps = torch.as_tensor(steps, dtype=torch.int64, device=device).expand(count)
    step_size = torch.as_tensor(step_size, dtype=flow.dtype, device=device).expand(count)
    temperature = torch.as_tensor(temperature, dtype=flow.dtype, device=device).expand(count)
    possible = torch.stack([(each >= 0) & (each < math.inf) for each in (steps, step_size, temperature)]).all(dim=0)
    if is_true(~possible.all(), elsewhere=False):
        raise FlowError("steps, step_size and temperature must be finite and not negative")
    x, hidden, keys = x.to(flow.device, flow.dtype), hidden.to(flow.device), keys.to(flow.device)
    inside = hidden | ((x >= 0) & (x <= 1) if flow.is_image else x.isfinite())  # false for NaN too
    outside = "a known entry is not a pixel in [0, 1]" if flow.is_image else "a known entry is not finite"
    x = within_domain(x, inside, outside)

    zero_counts = torch.zeros(count, dtype=torch.int64, device=device)
    zeros = torch.zeros(count, dtype=x.dtype, device=device)
    complete = ~hidden.flatten(1).any(dim=1)
    climb = Climb(
        method=method,
        x=x,
        hidden=hidden,
        spread=survey.spread.expand_as(x),
        keys=keys,
        step=zero_counts,
        steps=steps,
        step_size=step_size,
        temperature=temperature,
        log_prob=zeros,
        gradient=torch.zeros_like(x),
        best=x,
        best_log_prob=zeros,
        start_log_prob=zeros,
        done=complete | (steps == 0),
        converged=complete,
        proposed=zero_counts,
        accepted=zero_counts,
        samples=METHODS[method].samples,
    )
    chosen = METHODS[method].on(flow)
    x = fill(flow, climb, initial_point(flow, survey, x, hidden, keys, chosen.dispersion * temperature))
    return chosen.evaluate_start(flow, replace(climb, x=x))


def step(flow: Flow, climb: Climb) -> Climb:
    """Take one step with every row that is not done, each at its own place in its own schedule.

    Costs one forward and one backward pass over the whole batch, done rows included: ``select`` them away first.
    """
    ahead = METHODS[climb.method].on(flow).advance(flow, climb)
    taken = climb.step + 1
    ahead = replace(ahead, step=taken, done=ahead.converged | (taken >= climb.steps))
    return climb.where(climb.done, ahead) if is_true(climb.done.any(), elsewhere=True) else ahead
