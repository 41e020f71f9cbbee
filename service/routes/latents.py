"""POST /encode and /decode: between items and latents, with the log-determinant of the way taken."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel

from service.arrays import to_json, to_npy
from service.bodies import read_body
from service.media import latents_of
from service.negotiation import JSON, NPY, negotiate
from service.routes.common import (
    ITEMS_BODY,
    Items,
    Seed,
    TheCall,
    TheEngine,
    TheModel,
    answer,
    answers,
    decoded,
    problems,
)
from service.routes.sample import encoded, forms_of
from service.watch import WatchedRoute

router = APIRouter(tags=["inference"], route_class=WatchedRoute, responses=problems(400, 406, 413, 415))

_LATENTS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            NPY: {"schema": {"type": "string", "format": "binary"}},
            JSON: {
                "schema": {"type": "object", "required": ["latents"]},
                "examples": {"centre": {"summary": "the centre of a 2-D model", "value": {"latents": [[0, 0]]}}},
            },
        },
    }
}


class Latents(BaseModel):
    model: str
    latents: list[Any]
    log_abs_det: list[float]


class Decoded(BaseModel):
    model: str
    items: list[Any]
    log_abs_det: list[float]


@router.post(
    "/encode",
    responses={200: answers(NPY) | {"model": Latents}},
    openapi_extra=ITEMS_BODY,
    response_class=Response,
)
async def encode(
    engine: TheEngine,
    model: TheModel,
    call: TheCall,
    items: Items,
    seed: Seed = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Items to latents z = f(x), with log|det dz/dx| in nats (JSON only)."""
    form = negotiate(accept, (JSON, NPY))
    found = await engine.encode(model, items, seed or 0, call)

    def representation() -> bytes:
        if form == NPY:
            return to_npy(found["latents"].numpy())
        latents, log_abs_det = found["latents"].tolist(), found["log_abs_det"].tolist()
        return to_json({"model": model.reference, "latents": latents, "log_abs_det": log_abs_det})

    return answer(await engine.compute(representation, found["latents"].nbytes), form, model)


@router.post(
    "/decode",
    responses={200: answers("image/png", NPY) | {"model": Decoded}},
    openapi_extra=_LATENTS_BODY,
    response_class=Response,
)
async def decode(
    request: Request,
    engine: TheEngine,
    model: TheModel,
    call: TheCall,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Latents to items x = f⁻¹(z), with log|det dx/dz| in nats (JSON only)."""
    form = negotiate(accept, forms_of(model.flow))
    body = await read_body(request, (NPY, JSON), most_files=1)
    engine.reserve(call.ticket, min(body.most_items(model.flow.prior.shape), engine.settings.max_items))
    latents = await decoded(engine, body, lambda: latents_of(body, model.flow), fit=False)
    engine.reserve(call.ticket, len(latents))
    found = await engine.decode(model, latents, call)

    def representation() -> bytes:
        if form != JSON:
            return encoded(found["items"], model.flow, form)
        items, log_abs_det = found["items"].tolist(), found["log_abs_det"].tolist()
        return to_json({"model": model.reference, "items": items, "log_abs_det": log_abs_det})

    return answer(await engine.compute(representation, found["items"].nbytes), form, model)
