"""POST /score: exact log-likelihoods, and verdicts that keep a promise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from flows.anomaly import benjamini_hochberg
from model_store import LoadedModel
from service.arrays import to_json
from service.engine import Engine
from service.negotiation import JSON, negotiate
from service.routes.common import ITEMS_BODY, Items, Seed, TheCall, TheEngine, TheModel, answer, headers_of, problems
from service.scores import GroupScore, ItemScore, group_score, item_scores
from service.watch import WatchedRoute

router = APIRouter(tags=["inference"], route_class=WatchedRoute, responses=problems(400, 406, 413, 415))

Share = Annotated[float, Query(gt=0, lt=1, allow_inf_nan=False)]

ALPHA = 0.01
"""Of ordinary items, the share that is called anomalous unless a request says otherwise."""

_AT_ONCE = 500
"""Items of one piece of an answer."""
_ITEM_BYTES = 2**10  # of an item's part of the answer, about


class Scores(BaseModel):
    model: str
    calibrated: bool
    alpha: float
    items: list[ItemScore]
    group: GroupScore


@router.post("/score", responses={200: {"model": Scores}}, openapi_extra=ITEMS_BODY, response_class=Response)
async def score(
    engine: TheEngine,
    model: TheModel,
    call: TheCall,
    items: Items,
    seed: Seed = None,
    alpha: Share = ALPHA,
    fdr: Annotated[float | None, Query(gt=0, lt=1, allow_inf_nan=False)] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """The log-likelihood of every item and a calibrated verdict on it, in the order sent.

    An item is `anomalous` when its p-value is at most `alpha`: of ordinary items a share of about `alpha` is. With
    `fdr`, `discovery` flags items so that on average at most that share of the flags is false. `group` judges the
    request as a whole, which is far sharper than any single verdict. Whole numbers are 8-bit levels; numbers with a
    decimal point are fractions in [0, 1]. An image's answer depends on the image, the model and the seed (0 if
    absent), never on its neighbours.
    """
    negotiate(accept, (JSON,))
    found, group = await engine.score(model, items, seed or 0, call)
    discoveries = None
    if found.judged is not None:
        p_values = found.judged.verdict.p_value
        engine.metrics.anomalous_items.labels(model.reference).inc(int((p_values <= alpha).sum()))
        discoveries = benjamini_hochberg(p_values, fdr).tolist() if fdr is not None else None
    together = group_score(model, found.log_likelihood, group, alpha)
    pieces = _document(model, item_scores(model, found, alpha, discoveries), together, alpha)
    if len(items) <= _AT_ONCE:
        return answer(await engine.compute(lambda: b"".join(pieces), len(items) * _ITEM_BYTES), JSON, model)
    return StreamingResponse(_streamed(engine, pieces), media_type=JSON, headers=headers_of(model))


def _document(model: LoadedModel, items: Iterator[ItemScore], group: GroupScore, alpha: float) -> Iterator[bytes]:
    """The JSON of ``Scores``, in pieces: of many items no more than one piece is in memory."""
    head = {"model": model.reference, "calibrated": model.calibration is not None, "alpha": alpha}
    yield to_json(head)[:-1] + b',"items":['
    separator = b""
    while block := list(islice(items, _AT_ONCE)):
        yield separator + to_json(block)[1:-1]
        separator = b","
    yield b'],"group":' + to_json(group) + b"}"


async def _streamed(engine: Engine, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await engine.compute(lambda: next(pieces, b""), _AT_ONCE * _ITEM_BYTES):
        yield piece
