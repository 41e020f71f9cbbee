"""The two calls of an inpainting: set out, and take one step."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from flows.errors import FlowError, InputOutsideDomain, ShapeMismatch
from flows.flow import Flow
from flows.inpainting.ascent import Ascent, Map, PaperAscent
from flows.inpainting.climb import Climb
from flows.inpainting.langevin import Langevin
from flows.inpainting.latent import Latent
from flows.inpainting.method import Method, fill
from flows.inpainting.outset import outset
from flows.inpainting.survey import survey

METHODS: dict[str, Method] = {method.name: method for method in (Ascent(), PaperAscent(), Map(), Langevin(), Latent())}


def start(
    flow: Flow,
    x: Tensor,
    hidden: Tensor,
    keys: Tensor,
    *,
    method: str = "ascent",
    steps: int | Tensor,
    step_size: float | Tensor = 1.0,
    temperature: float | Tensor = 1.0,
) -> Climb:
    """Rows ready for their first step: x (B, *S) continuous, hidden (B, *S) bool, keys (B,) of ``flows.noise``.

    ``steps``, ``step_size`` and ``temperature`` are one for all rows or one a row, (B,).

    What x holds at the hidden entries, NaN included, counts for nothing: they start from what the flow draws (see
    ``outset``), in a method of chance a little moved. A row that hides nothing, or may take no step, is done at once.

    Raises ShapeMismatch, InputOutsideDomain (a known entry that is not finite or lies off an image's [0, 1]) and
    FlowError (an unknown method, a negative number of steps, step size or
    temperature, or one that is not finite).
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
    if not all(bool(((each >= 0) & (each < math.inf)).all()) for each in (steps, step_size, temperature)):
        raise FlowError("steps, step_size and temperature must be finite and not negative")
    x, hidden, keys = x.to(flow.device, flow.dtype), hidden.to(flow.device), keys.to(flow.device)
    sound = x.isfinite() & ((x >= 0) & (x <= 1) if flow.is_image else True)
    if not bool((hidden | sound).all()):
        raise InputOutsideDomain("a known entry is not finite, or no pixel in [0, 1]")

    whole = torch.zeros(count, dtype=torch.int64, device=device)
    real = torch.zeros(count, dtype=x.dtype, device=device)
    complete = ~hidden.flatten(1).any(dim=1)
    climb = Climb(
        method=method,
        x=x,
        hidden=hidden,
        spread=survey(flow).spread.expand_as(x),
        keys=keys,
        step=whole,
        steps=steps,
        step_size=step_size,
        temperature=temperature,
        log_prob=real,
        gradient=torch.zeros_like(x),
        best=x,
        best_log_prob=real,
        start_log_prob=real,
        done=complete | (steps == 0),
        converged=complete,
        proposed=whole,
        accepted=whole,
        samples=METHODS[method].samples,
    )
    chosen = METHODS[method].on(flow)
    x = fill(flow, climb, outset(flow, x, hidden, keys, chosen.dispersion * temperature))
    return chosen.set_out(flow, replace(climb, x=x))


def step(flow: Flow, climb: Climb) -> Climb:
    """Every row that is not done one step on, each at its own place of its own schedule.

    Costs one forward and one backward pass of the flow over the batch, done rows included: select them away first.
    """
    ahead = METHODS[climb.method].on(flow).advance(flow, climb)
    taken = climb.step + 1
    ahead = replace(ahead, step=taken, done=ahead.converged | (taken >= climb.steps))
    return climb.where(climb.done, ahead) if bool(climb.done.any()) else ahead
