"""POST /score: exact log-likelihoods."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel

from service.engine import bits_of
from service.negotiation import JSON, negotiate
from service.routes.common import ITEMS_BODY, Items, Seed, TheCall, TheEngine, TheModel, json_answer, problems
from service.watch import WatchedRoute

router = APIRouter(tags=["inference"], route_class=WatchedRoute, responses=problems(400, 406, 413, 415))


class ItemScore(BaseModel):
    log_likelihood: float
    """Nats; of pixels scaled to [0, 1], or of a vector in data units."""
    bits_per_dim: float | None
    """Null for vectors."""
    p_value: float | None = None


class GroupScore(ItemScore):
    """Means over the items of the request."""

    count: int


class Scores(BaseModel):
    model: str
    items: list[ItemScore]
    group: GroupScore


@router.post("/score", responses={200: {"model": Scores}}, openapi_extra=ITEMS_BODY, response_class=Response)
async def score(
    engine: TheEngine,
    model: TheModel,
    call: TheCall,
    items: Items,
    seed: Seed = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """The log-likelihood of every item, in the order sent.

    Whole numbers are 8-bit levels; numbers with a decimal point are fractions in [0, 1]. An image's answer depends on
    the image, the model and the seed (0 if absent), never on its neighbours.
    """
    negotiate(accept, (JSON,))
    found = await engine.score(model, items, seed or 0, call)
    mean = float(found.mean())
    scores = Scores(
        model=model.reference,
        items=[ItemScore(log_likelihood=value, bits_per_dim=bits_of(model, value)) for value in found.tolist()],
        group=GroupScore(count=len(found), log_likelihood=mean, bits_per_dim=bits_of(model, mean)),
    )
    return json_answer(scores, model)
