"""POST /inpaint: fill in what a mask hides."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel

from flows.inpainting import METHODS
from service.arrays import to_json
from service.bodies import MULTIPART, read_body
from service.engine import InpaintOptions, draw_seed
from service.media import inpainting_of
from service.negotiation import JSON, NPY, negotiate
from service.routes.common import Fit, Seed, TheCall, TheEngine, TheModel, answer, answers, decoded, problems
from service.routes.sample import encoded, forms_of
from service.watch import WatchedRoute

router = APIRouter(tags=["inference"], route_class=WatchedRoute, responses=problems(400, 406, 413, 415))

_FILE = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {"schema": {"type": "object", "properties": {"image": _FILE, "mask": _FILE}}},
            JSON: {
                "schema": {"type": "object", "required": ["image", "mask"]},
                "examples": {
                    "point": {"summary": "the second number is unknown", "value": {"image": [0.5, 0], "mask": [0, 1]}}
                },
            },
            NPY: {"schema": _FILE},
        },
    }
}


class Completion(BaseModel):
    pixels: list[Any]
    """The whole item; what was known is as it was sent."""
    log_likelihood_before: float
    """Nats, where the search set out."""
    log_likelihood: float
    """Nats, where it ended."""
    steps: int


class Completions(BaseModel):
    model: str
    seed: int
    method: str
    items: list[Completion]


@router.post(
    "/inpaint",
    responses={200: answers("image/png", NPY) | {"model": Completions}},
    openapi_extra=_BODY,
    response_class=Response,
)
async def inpaint(
    request: Request,
    engine: TheEngine,
    model: TheModel,
    call: TheCall,
    n: Annotated[int, Query(description="Independent completions")] = 1,
    steps: Annotated[int, Query(description="The most steps of the ascent", examples=[200])] = 200,
    method: Annotated[str, Query(json_schema_extra={"enum": sorted(METHODS)})] = "ascent",
    temperature: Annotated[float, Query(ge=0, le=10, description="Of the methods that draw")] = 1.0,
    seed: Seed = None,
    fit: Fit = False,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Ascend the model's likelihood over the hidden part; the known part comes back exactly.

    Multipart `image` and `mask` (white, 128 or more, is filled in; so is a transparent pixel of the image), JSON with
    `image` and `mask` (anything but 0 is filled in), or one npy array of floats with NaN where to fill in.
    """
    engine.bound("n", n, engine.settings.max_n)
    engine.bound("steps", steps, engine.settings.max_steps)
    options = InpaintOptions(method, steps, temperature)
    form = negotiate(accept, forms_of(model.flow))
    body = await read_body(request, (MULTIPART, JSON, NPY), most_files=2)
    call.ticket.resize(n * steps)
    seed = draw_seed() if seed is None else seed
    item, hidden = await decoded(engine, body, lambda: inpainting_of(body, model.flow, fit), fit)
    found = await engine.inpaint(model, item, hidden, n, seed, options, call)

    def encode() -> bytes:
        if form != JSON:
            return encoded(found["items"], model.flow, form)
        names = ("items", "before", "after", "steps")
        keys = ("pixels", "log_likelihood_before", "log_likelihood", "steps")
        rows = zip(*(found[name].tolist() for name in names), strict=True)
        return to_json(
            {
                "model": model.reference,
                "seed": seed,
                "method": method,
                "items": [dict(zip(keys, row, strict=True)) for row in rows],
            }
        )

    return answer(await engine.compute(encode, found["items"].nbytes), form, model, seed)
