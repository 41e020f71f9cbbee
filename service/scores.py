"""What an item and a batch are told about their likelihood: the same documents over HTTP and in files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter
from torch import Tensor

from flows import bits_per_dim
from flows.anomaly import GroupVerdict, Verdict, names_of, tests_of
from model_store import LoadedModel

BEYOND = "the log-likelihood is not finite: the item lies beyond what the model can represent"

_BLOCK = 256


class Judged(NamedTuple):
    """What a calibrated model says of N items beyond their likelihood."""

    statistics: Tensor
    """(N, K), columns as ``flows.anomaly.names_of`` says."""
    verdict: Verdict


class Scored(NamedTuple):
    """log_likelihood (N,) in nats, float64, not finite where an item lies beyond what the model can represent."""

    log_likelihood: Tensor
    judged: Judged | None
    """None for a model that was published without calibration."""


class TestResult(BaseModel):
    """One question to an item: how rare are these statistics, taken together, among held-out items?"""

    p_value: float
    statistics: dict[str, float | None]
    """Those that mean something one by one."""


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
    """The items taken together: means, and whether so many ordinary items would have such means."""

    count: int
    log_likelihood: float | None
    bits_per_dim: float | None
    p_value: float | None = None
    anomalous: bool | None = None


_ITEMS = TypeAdapter(list[ItemScore])


def item_scores(
    model: LoadedModel, found: Scored, alpha: float, discoveries: Sequence[bool] | None = None
) -> Iterator[ItemScore]:
    """One document an item, in order, each made when it is asked for: ten thousand at once would fill memory."""
    for start in range(0, len(found.log_likelihood), _BLOCK):
        rows = slice(start, start + _BLOCK)
        items = _likelihoods(model, found.log_likelihood[rows].tolist())
        if found.judged is not None:
            _judge(model, items, found.judged, rows, alpha)
        if discoveries is not None:
            for item, discovery in zip(items, discoveries[rows], strict=True):
                item["discovery"] = discovery
        yield from _ITEMS.validate_python(items)


def group_score(model: LoadedModel, log_likelihood: Tensor, verdict: GroupVerdict | None, alpha: float) -> GroupScore:
    """From the log-likelihoods (N,) of all items and the verdict on them taken together."""
    nats = log_likelihood.tolist()
    (mean,) = _likelihoods(model, [sum(nats) / len(nats)])
    return GroupScore(
        count=len(log_likelihood),
        log_likelihood=mean["log_likelihood"],
        bits_per_dim=mean["bits_per_dim"],
        p_value=verdict.p_value if verdict is not None else None,
        anomalous=verdict.p_value <= alpha if verdict is not None else None,
    )


def _likelihoods(model: LoadedModel, nats: Sequence[float]) -> list[dict[str, Any]]:
    """The documents of items with these log-likelihoods, before anything else is said of them."""
    dimensions = model.flow.dimensions if model.flow.is_image else None
    return [
        {"log_likelihood": value, "bits_per_dim": bits_per_dim(value, dimensions) if dimensions else None}
        if math.isfinite(value)
        else {"log_likelihood": None, "bits_per_dim": None, "reason": BEYOND}
        for value in nats
    ]


def _judge(model: LoadedModel, items: list[dict[str, Any]], judged: Judged, rows: slice, alpha: float) -> None:
    """Write the verdicts on these rows into their documents."""
    places = {name: place for place, name in enumerate(names_of(model.flow))}
    tests = [
        (
            test.name,
            judged.verdict.tests[test.name][rows].tolist(),
            {name: _finite(judged.statistics[rows, places[name]]) for name in test.reported},
        )
        for test in tests_of(model.flow)
    ]
    for row, (item, p_value) in enumerate(zip(items, judged.verdict.p_value[rows].tolist(), strict=True)):
        item["p_value"], item["anomalous"] = p_value, p_value <= alpha
        item["tests"] = {
            name: {"p_value": p_values[row], "statistics": {key: column[row] for key, column in values.items()}}
            for name, p_values, values in tests
        }


def _finite(column: Tensor) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in column.tolist()]
