"""What the routes of an inpainting share: the parameters and the body that ask for one, and its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from flows.inpainting import METHODS
from service.bodies import MULTIPART, read_body
from service.engine import DEFAULT_METHOD, Engine, draw_seed
from service.inpainting import Asked, Inpainting, InpaintOptions
from service.media import inpainting_of
from service.negotiation import EVENTS, GIF, JSON, NPY, PNG, WEBP
from service.routes.common import Fit, Responses, Seed, TheCall, TheEngine, TheModel, answer, answers, decoded
from service.routes.completions import Completions, represent

_FILE = {"type": "string", "format": "binary"}
INPAINT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {"schema": {"type": "object", "properties": {"image": _FILE, "mask": _FILE}}},
            JSON: {
                "schema": {"type": "object", "required": ["image"]},
                "examples": {
                    "point": {"summary": "the second number is unknown", "value": {"image": [0.5, None]}},
                    "mask": {"summary": "the same with a mask", "value": {"image": [0.5, 0], "mask": [0, 1]}},
                },
            },
            NPY: {"schema": _FILE},
        },
    }
}
INPAINTED: Responses = {200: answers(PNG, NPY, WEBP, GIF, EVENTS) | {"model": Completions}}

DEFAULT_N, DEFAULT_STEPS = 1, 200

Accept = Annotated[str | None, Header()]


async def asked_for(
    request: Request,
    engine: TheEngine,
    model: TheModel,
    call: TheCall,
    n: Annotated[int, Query(description="Independent completions, ranked by log-likelihood")] = DEFAULT_N,
    steps: Annotated[
        int, Query(description="The most steps; fewer when it converges", examples=[DEFAULT_STEPS])
    ] = DEFAULT_STEPS,
    method: Annotated[str, Query(json_schema_extra={"enum": sorted(METHODS)})] = DEFAULT_METHOD,
    step_size: Annotated[float, Query(ge=0, le=100, description="Multiplies the method's own step")] = 1.0,
    temperature: Annotated[float, Query(ge=0, le=10, description="Multiplies the method's own noise")] = 1.0,
    seed: Seed = None,
    fit: Fit = False,
) -> Asked:
    """Parameters, then room in the queue, then the body."""
    engine.bound("n", n, engine.settings.max_n)
    engine.bound("steps", steps, engine.settings.max_steps)
    options = InpaintOptions(method, steps, step_size, temperature)
    body = await read_body(request, (MULTIPART, JSON, NPY), most_files=2)
    call.ticket.resize(n * steps)
    item, hidden = await decoded(engine, body, lambda: inpainting_of(body, model.flow, fit), fit)
    return Asked(model, item, hidden, n, draw_seed() if seed is None else seed, options)


TheAsked = Annotated[Asked, Depends(asked_for)]


async def completed(engine: Engine, inpainting: Inpainting, form: str) -> Response:
    """The completions of an inpainting, once it has ended."""
    found = await inpainting.completions()
    asked = inpainting.asked
    # Pictures of a climb take longer than their number of bytes tells.
    size = found["items"].nbytes if form not in (WEBP, GIF) else 2**20
    return answer(await engine.compute(lambda: represent(inpainting, found, form), size), form, asked.model, asked.seed)


class Streamed(EventSourceResponse):
    """Server-sent events that no proxy holds back."""

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # A client that leaves while an event is being sent would leave the generator to the garbage collector.
            await self._events.aclose()
