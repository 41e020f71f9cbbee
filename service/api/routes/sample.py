"""POST /sample: new items from a model."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from msgspec import Struct
from pydantic import Field
from starlette.responses import Response

from service.api.answers import Answer, headers_of
from service.api.guard import Exchange
from service.api.negotiation import negotiate
from service.api.operations import Parameters, operation
from service.api.parameters import Model, Seed
from service.api.schemas import answered
from service.api.service import bound, draw_seed
from service.media.documents import to_json
from service.media.representations import encoded, forms_of, listed
from service.media.types import CSV, JSON, NPY, PNG
from service.protocol.client import Found
from service.protocol.defaults import SAMPLE_N, TEMPERATURE
from service.protocol.messages import Options, Submit
from service.protocol.model_info import ModelInfo


class Samples(Struct):
    """Items as /score takes them: 8-bit levels of images, numbers of vectors, a table's rows by column name."""

    model: str
    seed: int
    items: list[Any]


class SampleParameters(Parameters):
    """The query of `POST /sample`."""

    model: Model = None
    n: Annotated[int, Field(description="How many items", examples=[16])] = SAMPLE_N
    seed: Seed = None
    temperature: Annotated[float, Field(ge=0, le=10, description="Below 1, samples crowd towards the mode")] = (
        TEMPERATURE
    )


@operation("POST", "/sample", SampleParameters, responses={200: answered(Samples, PNG, NPY, CSV)})
async def sample(exchange: Exchange, query: SampleParameters) -> Response:
    """A PNG grid (a scatter for a 2-D model), npy, JSON, or a table's CSV by `Accept`. `X-Sluice-Seed` tells the seed.

    The first 16 of `n=64` are the items of `n=16` at the same seed. An answer to a seed has an `ETag`: the same one
    means the same weights, precision, device and parameters, hence the same items.
    """
    service = exchange.service
    model = await service.model(query.model)
    bound("n", query.n, service.settings.max_n)
    form = negotiate(exchange.accept, forms_of(model))
    deadline = exchange.deadline()
    with service.device.queue.reserve() as room:
        await exchange.body()  # none is expected; once it has been read, the client's departure can be seen
        room.resize(query.n)
        seed = draw_seed() if query.seed is None else query.seed
        room.release()
        found: Found = await service.device.ask(
            lambda number: Submit(
                id=number,
                model=model.reference,
                kind="sample",
                deadline=deadline,
                n=query.n,
                seed=seed,
                options=Options(temperature=query.temperature),
            )
        )
    items = found.arrays["items"]

    def representation() -> bytes:
        if form == JSON:
            return to_json({"model": model.reference, "seed": seed, "items": listed(items, model)})
        return encoded(items, model, form)

    headers = headers_of(model, seed)
    if query.seed is not None:
        headers["ETag"] = _tag(model, query.n, seed, query.temperature, form)
    return Answer(await service.compute(representation, items.nbytes), form, headers)


def _tag(model: ModelInfo, *parameters: object) -> str:
    facts = (model.weights_sha256, model.precision, model.device, *parameters)
    return f'"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}"'
