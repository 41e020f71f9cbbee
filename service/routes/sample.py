"""POST /sample: new items from a model."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from flows import Flow
from model_store import LoadedModel
from model_store.manifest import WEIGHTS
from service.arrays import to_json, to_npy
from service.engine import draw_seed
from service.grid import grid, scatter
from service.negotiation import JSON, NPY, PNG, negotiate
from service.pictures import to_png
from service.routes.common import Seed, TheCall, TheEngine, TheModel, answer, answers, problems
from service.watch import WatchedRoute

router = APIRouter(tags=["inference"], route_class=WatchedRoute, responses=problems(400, 406))


class Samples(BaseModel):
    """Items as /score takes them: 8-bit levels of images, numbers of vectors."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "moons@1", "seed": 7, "items": [[0.31, -0.42], [1.7, 0.1]]}]}
    )

    model: str
    seed: int
    items: list[Any]


@router.post("/sample", responses={200: answers(PNG, NPY) | {"model": Samples}}, response_class=Response)
async def sample(
    request: Request,
    engine: TheEngine,
    model: TheModel,
    call: TheCall,
    n: Annotated[int, Query(description="How many items", examples=[16])] = 1,
    seed: Seed = None,
    temperature: Annotated[float, Query(ge=0, le=10, description="Below 1, samples crowd towards the mode")] = 1.0,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """A PNG grid (a scatter for a 2-D model), or npy or JSON by `Accept`. `X-Sluice-Seed` tells the seed.

    The first 16 of `n=64` are the items of `n=16` at the same seed. An answer to a seed has an `ETag`: the same one
    means the same weights, precision, device and parameters, hence the same items.
    """
    engine.bound("n", n, engine.settings.max_n)
    form = negotiate(accept, forms_of(model.flow))
    await request.body()  # none is expected; once it has been read, the client's departure can be seen
    call.ticket.resize(n)
    tag = None if seed is None else _tag(model, str(engine.device), n, seed, temperature, form)
    seed = draw_seed() if seed is None else seed
    items = await engine.sample(model, n, seed, temperature, call)

    def encode() -> bytes:
        if form == JSON:
            return to_json({"model": model.reference, "seed": seed, "items": items.tolist()})
        return encoded(items, model.flow, form)

    response = answer(await engine.compute(encode, items.nbytes), form, model, seed)
    if tag is not None:
        response.headers["ETag"] = tag
    return response


def _tag(model: LoadedModel, *parameters: object) -> str:
    weights = model.manifest.files[WEIGHTS].sha256
    return f'"{hashlib.sha256(repr((weights, model.precision, *parameters)).encode()).hexdigest()[:32]}"'


def forms_of(flow: Flow) -> tuple[str, ...]:
    """The representations of a model's items: pictures of images and of points in the plane, numbers of all."""
    pictured = flow.is_image or flow.item_shape == (2,)
    return (PNG, NPY, JSON) if pictured else (JSON, NPY)


def encoded(items: Tensor, flow: Flow, form: str) -> bytes:
    """Items (N, *S) as PNG or npy."""
    array = items.numpy()
    if form == NPY:
        return to_npy(array)
    return to_png(grid(array) if flow.is_image else scatter(array))
