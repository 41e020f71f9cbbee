"""Whether a model's live items are still like those that calibrated it, and if not, what has moved."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel

from service.api.dependencies import TheService
from service.api.drift_words import ALARM_LOG10, Together, moved, summary, together
from service.api.operations import problems
from service.keys import Key
from service.protocol.drift import ModelDrift as Watched
from service.protocol.drift import Sort
from service.protocol.messages import Drift, Told
from tables import Schema

router = APIRouter(tags=["models"], responses=problems())


class DriftSeries(BaseModel):
    """One test martingale: of the combined p-values, of the p-values of one test, or of the values of one column."""

    series: Sort
    name: str
    log10_evidence: float
    peak_log10_evidence: float
    items: int
    since: str | None
    """When the change began, if there is one: the moment at which the martingale was least."""
    items_since: int
    shares: list[float]
    """Part of the items since then in each bin; the bins lie between ``levels``."""
    expected: list[float]


class DriftOfKey(BaseModel):
    """The items of one API key; of all requests where the key is null."""

    key: str | None
    alarm: bool
    summary: str
    moved: list[str]
    """What has moved, and since when, in a sentence for each series."""
    log10_evidence: float
    """Of all series together. From 2 on, a change is reported."""
    items: int
    since: str
    series: list[DriftSeries]


class ModelDrift(BaseModel):
    model: str
    alarm: bool
    summary: str
    moved: list[str]
    columns_watched: bool
    levels: list[float]
    keys: list[DriftOfKey]


@router.get("/models/{name}/drift")
async def drift(name: str, service: TheService, request: Request) -> ModelDrift:
    """Whether the items that were scored are drawn as the calibrating ones were; if not, what moved and since when.

    Needs a calibrated model of items of one size. Items count in blocks of 64. A key sees what all requests have sent
    together, and what it has sent itself; one of the scope `metrics` or `admin` sees every key's.
    """
    model = await service.model(name)
    told: Told = await service.device.ask(lambda number: Drift(number, model.reference))
    found = msgspec.json.decode(told.data, type=list[Watched])
    levels = found[0].levels
    key: Key | None = request.scope.get("api_key")
    keys = [_of_key(each, levels, model.table) for each in together(found) if _may_see(key, each.most.key)]
    if not keys:
        nothing = "The model is not calibrated: it gives no p-values that could be watched."
        if model.pictures is not None:
            nothing = "Models that score pictures of any size are not watched."
        elif model.calibration is not None:
            nothing = "No block of items has been scored yet."
        return ModelDrift(
            model=model.reference,
            alarm=False,
            summary=nothing,
            moved=[],
            columns_watched=found[0].columns_watched,
            levels=list(levels),
            keys=[],
        )
    return ModelDrift(
        model=model.reference,
        alarm=any(key.alarm for key in keys),
        summary=keys[0].summary,
        moved=keys[0].moved,
        columns_watched=found[0].columns_watched,
        levels=list(levels),
        keys=keys,
    )


def _may_see(key: Key | None, name: str) -> bool:
    return not name or key is None or key.name == name or not {"metrics", "admin"}.isdisjoint(key.scopes)


def _of_key(key: Together, levels: tuple[float, ...], table: Schema | None) -> DriftOfKey:
    return DriftOfKey(
        key=key.most.key or None,
        alarm=key.log10_evidence >= ALARM_LOG10,
        summary=summary(key),
        moved=moved(key, levels, table),
        log10_evidence=key.log10_evidence,
        items=key.items,
        since=key.most.began,
        series=[
            DriftSeries(
                series=each.sort,
                name=each.name,
                log10_evidence=key.of(each),
                peak_log10_evidence=each.peak,
                items=each.items,
                since=each.since,
                items_since=each.since_items,
                shares=list(each.shares),
                expected=list(each.expected),
            )
            for each in key.most.series
        ],
    )
