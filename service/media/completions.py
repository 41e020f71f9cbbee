"""Completions of an inpainting as documents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.media.table_rows import records
from service.protocol.messages import Completed
from tables import Schema

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


def _described(text: str) -> Meta:
    return Meta(description=text)


class Completion(Struct):
    """One completion of an item."""

    pixels: Annotated[
        list[Any] | dict[str, Any],
        _described("The whole item; what was known is as it was sent. A table's row is an object by column name."),
    ]
    log_likelihood: Annotated[float, _described("Nats.")]
    log_likelihood_before: Annotated[float, _described("Nats, at the initial point of the search.")]
    trace: Annotated[
        list[tuple[int, float]],
        _described(
            "Steps taken, and the log-likelihood at the point where the search was then; at the end that of the "
            "answer, which in a method that climbs is the best point found. At most 50 pairs."
        ),
    ]
    gradient_norm: Annotated[
        float | None,
        _described(
            "Nats per unit, over the hidden part, at the end of the search; null in a method that follows no gradient."
        ),
    ]
    acceptance: Annotated[
        float,
        _described("The share of proposals that a Metropolis test accepted; 1 in a method that has no such test."),
    ]
    steps: Annotated[int, _described("Steps taken; 0 where nothing was hidden.")]
    converged: Annotated[
        bool, _described("Whether it ended because nothing more was to be gained, rather than out of steps.")
    ]
    draw: Annotated[int, _described("Which of the seed's draws it is: draw 3 is the same whatever n.")]


class Completions(Struct):
    """The likeliest first."""

    model: str
    seed: int
    method: str
    state: Literal["done", "stopped"]
    items: list[Completion]
    notes: Annotated[
        list[str],
        _described("What the sender should know, such as columns that were ignored; empty where a task is asked for."),
    ] = []


def completions_of(completed: Completed, schema: Schema | None = None, notes: Sequence[str] = ()) -> dict[str, Any]:
    """``Completions`` as a dictionary, from an inpainting that was watched. ``schema`` is that of a table's model."""
    about = completed.about
    values = {key: completed.arrays[column].tolist() for key, column in _COLUMNS.items()}
    if schema is not None:
        values["pixels"] = records(completed.arrays["items"], schema)
    values["gradient_norm"] = [None if math.isnan(norm) else norm for norm in values["gradient_norm"]]
    items = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    for item in items:
        way = [(0, item["log_likelihood_before"]), *_trace(completed, item["draw"])]
        end = (item["steps"], item["log_likelihood"])
        item["trace"] = [point for point in way if point[0] < end[0]] + [end]
    return {
        "model": about.model,
        "seed": about.seed,
        "method": about.method,
        "state": about.state,
        "items": items,
        "notes": list(notes),
    }


def _trace(completed: Completed, draw: int) -> list[tuple[int, float]]:
    """Steps taken by a draw, and the log-likelihood there in nats."""
    taken = int(completed.history["taken"][draw])
    values = completed.history["log_likelihood"][:taken, draw].tolist()
    return [((at + 1) * completed.stride, value) for at, value in enumerate(values)]
