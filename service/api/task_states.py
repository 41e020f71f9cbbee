"""The state of an inpainting that goes on without its client, as an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from service.api.answers import Answer
from service.api.schemas import schema_of
from service.media.documents import to_json
from service.media.types import JSON
from service.protocol.messages import ENDED, TaskPhase, TaskState


class TaskDocument(Struct):
    """How far an inpainting has come."""

    id: str
    state: TaskPhase
    model: str
    seed: int
    method: str
    n: int
    steps: Annotated[int, Meta(description="The most that it may take.")]
    step: Annotated[int, Meta(description="Of the furthest completion at the latest snapshot; 0 before the first.")]
    log_likelihood: Annotated[
        float | None, Meta(description="Of the likeliest completion at the latest snapshot, in nats.")
    ]
    notes: Annotated[
        list[str], Meta(description="In the answer to what begins it: what the sender should know of the body.")
    ] = []


ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "It goes on; `Location` tells where",
        "content": {JSON: {"schema": schema_of(TaskDocument)}},
    }
}
TOLD: dict[int | str, dict[str, Any]] = {
    **ACCEPTED,
    200: {"description": "It has ended", "content": {JSON: {"schema": schema_of(TaskDocument)}}},
}


def accepted(about: TaskState, headers: Mapping[str, str] | None = None, notes: Sequence[str] = ()) -> Answer:
    """202: come back for it."""
    return _answer(about, 202, headers or {}, notes)


def told(about: TaskState, notes: Sequence[str] = ()) -> Answer:
    """202 and the state while it goes on, 200 and the state once it has ended."""
    return _answer(about, 200 if about.state in ENDED else 202, {}, notes)


def _answer(about: TaskState, status: int, headers: Mapping[str, str], notes: Sequence[str]) -> Answer:
    fields: dict[str, Any] = {name: getattr(about, name) for name in TaskDocument.__struct_fields__ if name != "notes"}
    state = TaskDocument(**fields, notes=list(notes))
    return Answer(to_json(state), JSON, {"Location": f"/inpaint/{about.id}", **headers}, status)
