"""POST /score: exact log-likelihoods, and verdicts that keep a promise."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel
from torch import Tensor

from flows.anomaly import benjamini_hochberg, tests_of
from model_store import LoadedModel
from service.engine import Engine, Judged, Scored, bits_of
from service.negotiation import JSON, negotiate
from service.routes.common import ITEMS_BODY, Items, Seed, TheCall, TheEngine, TheModel, json_answer, problems
from service.watch import WatchedRoute

router = APIRouter(tags=["inference"], route_class=WatchedRoute, responses=problems(400, 406, 413, 415))

Share = Annotated[float, Query(gt=0, lt=1, allow_inf_nan=False)]

BEYOND = "the log-likelihood is not finite: the item lies beyond what the model can represent"


class TestResult(BaseModel):
    """One question to an item: how rare are these statistics, taken together, among held-out items?"""

    p_value: float
    statistics: dict[str, float | None]


class ItemScore(BaseModel):
    log_likelihood: float | None
    """Nats; of pixels scaled to [0, 1], or of a vector in data units."""
    bits_per_dim: float | None
    """Null for vectors."""
    p_value: float | None = None
    """The share of ordinary items at least as strange as this one; null where the model is not calibrated."""
    anomalous: bool | None = None
    """Whether the p-value is at most alpha."""
    tests: dict[str, TestResult] = {}
    discovery: bool | None = None
    """Whether Benjamini and Hochberg's procedure at rate ``fdr`` flags the item."""
    reason: str | None = None
    """Why a figure is missing."""


class GroupScore(BaseModel):
    """The request's items taken together: means, and whether so many ordinary items would have such means."""

    count: int
    log_likelihood: float | None
    bits_per_dim: float | None
    p_value: float | None = None
    anomalous: bool | None = None


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
    alpha: Share = 0.01,
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
    found = await engine.score(model, items, seed or 0, call)
    answer = await engine.compute(lambda: _scores(model, found, alpha, fdr), items.nbytes)
    _count(engine, model, answer)
    return await engine.compute(lambda: json_answer(answer, model), items.nbytes)


def _scores(model: LoadedModel, found: Scored, alpha: float, fdr: float | None) -> Scores:
    judged = found.judged
    items = [_likelihood(model, value) for value in found.log_likelihood.tolist()]
    mean = _likelihood(model, float(found.log_likelihood.mean()))
    group = GroupScore(count=len(items), log_likelihood=mean.log_likelihood, bits_per_dim=mean.bits_per_dim)
    if judged is not None:
        _judge(model, items, judged, alpha, fdr)
        group.p_value, group.anomalous = judged.group.p_value, judged.group.p_value <= alpha
    return Scores(model=model.reference, calibrated=judged is not None, alpha=alpha, items=items, group=group)


def _likelihood(model: LoadedModel, value: float) -> ItemScore:
    if not math.isfinite(value):
        return ItemScore(log_likelihood=None, bits_per_dim=None, reason=BEYOND)
    return ItemScore(log_likelihood=value, bits_per_dim=bits_of(model, value))


def _judge(model: LoadedModel, items: list[ItemScore], judged: Judged, alpha: float, fdr: float | None) -> None:
    """Write each item's verdict into its score."""
    verdict = judged.verdict
    discoveries = benjamini_hochberg(verdict.p_value, fdr).tolist() if fdr is not None else [None] * len(items)
    columns = iter(judged.statistics.T)
    tests = [
        (test.name, verdict.tests[test.name].tolist(), {name: _finite(next(columns)) for name in test.statistics})
        for test in tests_of(model.flow)
    ]
    for row, (item, p_value, discovery) in enumerate(zip(items, verdict.p_value.tolist(), discoveries, strict=True)):
        item.p_value, item.anomalous, item.discovery = p_value, p_value <= alpha, discovery
        item.tests = {
            name: TestResult(p_value=p_values[row], statistics={key: column[row] for key, column in values.items()})
            for name, p_values, values in tests
        }


def _finite(column: Tensor) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in column.tolist()]


def _count(engine: Engine, model: LoadedModel, answer: Scores) -> None:
    if answer.calibrated:
        anomalous = sum(bool(item.anomalous) for item in answer.items)
        engine.metrics.anomalous_items.labels(model.reference).inc(anomalous)
