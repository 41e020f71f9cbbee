"""What the computing routes share: parameters, the ticket, the body, and headers of the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Query, Request, Response
from torch import Tensor

from model_store import LoadedModel
from service.bodies import MULTIPART, Body, read_body
from service.engine import LARGEST_SEED, Call, Engine
from service.errors import MEDIA_TYPE, ProblemDocument
from service.media import items_of
from service.negotiation import JPEG, JSON, NPY, PNG

T = TypeVar("T")
Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """OpenAPI of the refusals that a route may answer with."""
    content = {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}
    return {status: {"content": content} for status in (*statuses, 404, 422, 429, 503, 504)}


def answers(*types: str) -> dict[str, Any]:
    """OpenAPI of a binary answer in several representations."""
    return {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in types}}


async def engine_of(request: Request) -> Engine:
    """For routes. Dependencies call it themselves: FastAPI would resolve it anew for each one that depended on it."""
    engine: Engine = request.app.state.engine
    return engine


TheEngine = Annotated[Engine, Depends(engine_of)]


async def model_of(
    request: Request,
    model: Annotated[
        str | None, Query(description="`name`, `name@version` or `name@alias`; the default if absent")
    ] = None,
) -> LoadedModel:
    return (await engine_of(request)).registry.get(model)


async def admitted(
    request: Request,
    x_deadline_ms: Annotated[
        int | None, Header(ge=1, le=86_400_000, description="Give up after so many milliseconds, if that is sooner")
    ] = None,
) -> AsyncIterator[Call]:
    """A place in the queue, taken before the body is read and given back when the request ends."""
    call = admit(request, await engine_of(request), x_deadline_ms)
    with call.ticket:
        yield call


def admit(request: Request, engine: Engine, x_deadline_ms: int | None = None) -> Call:
    """The same for who gives the place back himself: the call's ticket is a context. Raises QueueFull."""
    timeout: asyncio.Timeout = request.state.timeout
    now = asyncio.get_running_loop().time()
    left = (timeout.when() or now) - now
    if x_deadline_ms is not None and x_deadline_ms / 1000 < left:
        left = x_deadline_ms / 1000
        timeout.reschedule(now + left)
    return Call(engine.admission.admit(1), time.monotonic() + left)


TheModel = Annotated[LoadedModel, Depends(model_of)]
TheCall = Annotated[Call, Depends(admitted)]
Seed = Annotated[int | None, Query(ge=0, le=LARGEST_SEED, description="The same seed, the same answer")]
Fit = Annotated[bool, Query(description="Convert a picture of another size or mode instead of refusing it")]

ITEM_TYPES = (PNG, JPEG, MULTIPART, NPY, JSON)
ITEMS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            PNG: {"schema": {"type": "string", "format": "binary"}},
            JPEG: {"schema": {"type": "string", "format": "binary"}},
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            NPY: {"schema": {"type": "string", "format": "binary"}},
            JSON: {
                "schema": {"type": "object", "required": ["items"], "properties": {"items": {"type": "array"}}},
                "examples": {
                    "points": {"summary": "two points of a 2-D model", "value": {"items": [[0.5, 1], [2, 0]]}}
                },
            },
        },
    }
}


async def items_sent(request: Request, model: TheModel, call: TheCall, fit: Fit = False) -> Tensor:
    """The body's items (N, *S), admitted by their bound first and decoded then."""
    engine = await engine_of(request)
    body = await read_body(request, ITEM_TYPES, engine.settings.max_items)
    shape = model.flow.item_shape
    if body.type != JSON:
        engine.reserve(call.ticket, body.most_items(shape))
    else:  # only a bound is known: what the queue must hold, not what the request is refused for
        call.ticket.resize(min(body.most_items(shape), engine.settings.max_items))
    items = await decoded(engine, body, lambda: items_of(body, model.flow, fit), fit)
    engine.reserve(call.ticket, len(items))
    return items


async def decoded(engine: Engine, body: Body, work: Callable[[], T], fit: bool) -> T:
    """Beside the event loop, when the body is large or a small file may unfold into a large picture."""
    return await engine.compute(work, body.size if not fit else max(body.size, 2**20))


Items = Annotated[Tensor, Depends(items_sent)]


def answer(content: bytes, media_type: str, model: LoadedModel, seed: int | None = None) -> Response:
    """The representation, with the model that made it and the seed that makes it again."""
    return Response(content, media_type=media_type, headers=headers_of(model, seed))


def headers_of(model: LoadedModel, seed: int | None = None) -> dict[str, str]:
    """What every answer tells about itself."""
    headers = {"X-Sluice-Model": model.reference, "Vary": "Accept"}
    if seed is not None:
        headers["X-Sluice-Seed"] = str(seed)
    return headers
