"""Completions in every form that they are sent in."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel

from flows import Flow
from service.animation import animate, frames_of
from service.arrays import to_json
from service.columns import Columns
from service.inpainting import Inpainting
from service.negotiation import EVENTS, GIF, JSON, WEBP
from service.routes.sample import encoded, forms_of

_COLUMNS = {
    "pixels": "items",
    "log_likelihood": "after",
    "log_likelihood_before": "before",
    "gradient_norm": "grad_norm",
    "acceptance": "acceptance",
    "steps": "steps",
    "converged": "converged",
    "draw": "draw",
}


class Completion(BaseModel):
    pixels: list[Any]
    """The whole item; what was known is as it was sent."""
    log_likelihood: float
    """Nats."""
    log_likelihood_before: float
    """Nats, where the search set out."""
    trace: list[tuple[int, float]]
    """Steps taken, and the log-likelihood of where the search stood then; at the end that of the answer, which in a
    method that climbs is the best point it came by. At most 50 pairs."""
    gradient_norm: float | None
    """Nats per unit, over what was filled in, where the search ended; null in a method that follows no gradient."""
    acceptance: float
    """The share of proposals that a Metropolis test let pass; 1 in a method that has no such test."""
    steps: int
    """Steps taken; 0 where nothing was to be filled in."""
    converged: bool
    """Whether it ended because nothing more was to be gained, rather than out of steps."""
    draw: int
    """Which of the seed's draws it is: draw 3 is the same whatever n."""


class Completions(BaseModel):
    """The likeliest first."""

    model: str
    seed: int
    method: str
    state: Literal["done", "stopped"]
    items: list[Completion]


def inpainting_forms(flow: Flow) -> tuple[str, ...]:
    return (*forms_of(flow), *((WEBP, GIF) if flow.is_image else ()), EVENTS)


def represent(inpainting: Inpainting, found: Columns, form: str) -> bytes:
    """The completions as PNG, npy, JSON, or an animation of the climb."""
    if form == JSON:
        return to_json(document(inpainting, found))
    if form in (WEBP, GIF):
        assert inpainting.progress is not None
        return animate(frames_of(inpainting.asked, inpainting.progress, found), form)
    return encoded(found["items"], inpainting.asked.model.flow, form)


def document(inpainting: Inpainting, found: Columns) -> dict[str, Any]:
    """``Completions`` as a dictionary."""
    asked, progress = inpainting.asked, inpainting.progress
    assert progress is not None
    values = {key: found[column].tolist() for key, column in _COLUMNS.items()}
    values["gradient_norm"] = [None if math.isnan(norm) else norm for norm in values["gradient_norm"]]
    items = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    for item in items:
        way = [(0, item["log_likelihood_before"]), *progress.trace(item["draw"])]
        end = (item["steps"], item["log_likelihood"])
        item["trace"] = [point for point in way if point[0] < end[0]] + [end]
    return {
        "model": asked.model.reference,
        "seed": asked.seed,
        "method": asked.options.method,
        "state": inpainting.state,
        "items": items,
    }
