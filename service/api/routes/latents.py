"""POST /encode and /decode: between items and latents, with the log-determinant of the way taken."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from starlette.responses import Response

from service.api.answers import Answer, headers_of
from service.api.bodies import read_body
from service.api.guard import Exchange
from service.api.negotiation import negotiate
from service.api.operations import Parameters, operation
from service.api.parameters import BINARY, ITEMS_BODY, ItemParameters, Model, decoding_size, items_sent, make_room
from service.api.schemas import answered
from service.media.documents import to_json
from service.media.items import latents_of
from service.media.npy import to_npy
from service.media.representations import encoded, forms_of, listed
from service.media.types import JSON, NPY, PNG
from service.protocol.client import Found
from service.protocol.defaults import SCORE_SEED
from service.protocol.messages import Submit

_LATENTS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            NPY: {"schema": BINARY},
            JSON: {
                "schema": {"type": "object", "required": ["latents"]},
                "examples": {"centre": {"summary": "the centre of a 2-D model", "value": {"latents": [[0, 0]]}}},
            },
        },
    }
}


class Latents(Struct):
    """The answer of `POST /encode` as JSON."""

    model: str
    latents: list[Any]
    log_abs_det: list[float]
    notes: list[str] = []


class Decoded(Struct):
    """The answer of `POST /decode` as JSON."""

    model: str
    items: list[Any]
    log_abs_det: list[float]


class DecodeParameters(Parameters):
    """The query of `POST /decode`."""

    model: Model = None


@operation(
    "POST", "/encode", ItemParameters, responses={200: answered(Latents, NPY)}, body=ITEMS_BODY, refusals=(413, 415)
)
async def encode(exchange: Exchange, query: ItemParameters) -> Response:
    """Items to latents z = f(x), with log|det dz/dx| in nats (JSON only)."""
    service = exchange.service
    model = await service.model(query.model)
    form = negotiate(exchange.accept, (JSON, NPY))
    deadline = exchange.deadline()
    with service.device.queue.reserve() as room:
        items, notes, _ = await items_sent(exchange, model, room, query.fit)
        room.release()
        found: Found = await service.device.ask(
            lambda number: Submit(
                id=number,
                model=model.reference,
                kind="encode",
                deadline=deadline,
                arrays={"items": items},
                seed=SCORE_SEED if query.seed is None else query.seed,
            )
        )
    latents, log_abs_det = found.arrays["latents"], found.arrays["log_abs_det"]

    def representation() -> bytes:
        if form == NPY:
            return to_npy(latents)
        return to_json(Latents(model.reference, latents.tolist(), log_abs_det.tolist(), list(notes)))

    return Answer(await service.compute(representation, latents.nbytes), form, headers_of(model))


@operation(
    "POST",
    "/decode",
    DecodeParameters,
    responses={200: answered(Decoded, PNG, NPY)},
    body=_LATENTS_BODY,
    refusals=(413, 415),
)
async def decode(exchange: Exchange, query: DecodeParameters) -> Response:
    """Latents to items x = f⁻¹(z), with log|det dx/dz| in nats (JSON only)."""
    service = exchange.service
    model = await service.model(query.model)
    form = negotiate(exchange.accept, forms_of(model))
    deadline, most = exchange.deadline(), service.settings.max_items
    with service.device.queue.reserve() as room:
        body = await read_body(exchange, (NPY, JSON), most_files=1)
        bound = body.most_items(model.latent_shape)
        make_room(room, bound if body.type == NPY else min(bound, most), most)
        latents = await service.compute(
            lambda: latents_of(body, model.latent_shape, most), decoding_size(body, fit=False)
        )
        make_room(room, len(latents), most)
        room.release()
        found: Found = await service.device.ask(
            lambda number: Submit(
                id=number, model=model.reference, kind="decode", deadline=deadline, arrays={"latents": latents}
            )
        )
    items, log_abs_det = found.arrays["items"], found.arrays["log_abs_det"]

    def representation() -> bytes:
        if form != JSON:
            return encoded(items, model, form)
        document = {"model": model.reference, "items": listed(items, model), "log_abs_det": log_abs_det.tolist()}
        return to_json(document)

    return Answer(await service.compute(representation, items.nbytes), form, headers_of(model))
