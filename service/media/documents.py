"""The JSON documents of a score: what an item and a group are told about their likelihood, over HTTP and in files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from service.media.regions import Region, regions, scaled
from service.protocol.messages import Arrays
from service.protocol.model_info import ModelInfo

BEYOND = "the log-likelihood is not finite: the item lies beyond what the model can represent"

_BLOCK = 256


class TestResult(Struct):
    """One question to an item: how rare are these statistics, taken together, among held-out items?"""

    p_value: float
    statistics: Annotated[dict[str, float | None], Meta(description="Those that mean something one by one.")]


class ColumnContribution(Struct):
    """What one column of a row adds to its being unlikely."""

    column: str
    gain: Annotated[float, Meta(description="Nats that the likelihood gains if the column is drawn given the others.")]
    value: float | None
    expected: Annotated[float, Meta(description="The value that the other columns let expect.")]


class ItemScore(Struct):
    """What one item is told."""

    log_likelihood: Annotated[
        float | None, Meta(description="Nats; of pixels scaled to [0, 1], or of a vector in data units.")
    ]
    bits_per_dim: Annotated[float | None, Meta(description="Null for vectors.")]
    p_value: Annotated[
        float | None,
        Meta(description="The share of ordinary items at least as strange as this one; null without calibration."),
    ] = None
    anomalous: Annotated[
        bool | None,
        Meta(description="Whether the p-value is at most alpha; null where no p-value can be, see alpha_reachable."),
    ] = None
    tests: dict[str, TestResult] = {}
    discovery: Annotated[
        bool | None, Meta(description="Whether Benjamini and Hochberg's procedure at rate `fdr` flags the item.")
    ] = None
    regions: Annotated[
        list[Region] | UnsetType | None,
        Meta(
            description="With `map`: where the picture is strange. Of ordinary pictures at most a share alpha has any. "
            "Null where no p-value can be as small, see alpha_reachable."
        ),
    ] = UNSET
    reason: Annotated[str | None, Meta(description="Why a figure is missing.")] = None
    contributions: Annotated[
        list[ColumnContribution] | None,
        Meta(description="Of a row of a table: the columns that make it unlikely, the greatest gain first."),
    ] = None


class GroupScore(Struct):
    """The items taken together: their means, and how rare such means are among ordinary items."""

    count: int
    log_likelihood: float | None
    bits_per_dim: float | None
    p_value: float | None = None
    anomalous: bool | None = None


class Scores(Struct):
    """The answer of `POST /score`."""

    model: str
    calibrated: bool
    alpha: float
    calibration_size: Annotated[int | None, Meta(description="n: the items that p-values rank an item among.")]
    smallest_p_value: Annotated[float | None, Meta(description="1 / (n + 1).")]
    alpha_reachable: Annotated[
        bool | None, Meta(description="Whether alpha is at least the smallest p-value; if not, `anomalous` is null.")
    ]
    items: list[ItemScore]
    group: GroupScore
    notes: Annotated[
        list[str], Meta(description="What the sender should know, such as columns that were ignored.")
    ] = []


def item_scores(model: ModelInfo, arrays: Arrays, alpha: float) -> Iterator[ItemScore]:
    """One document an item, in order, from the arrays of a score. Made block by block: ten thousand would fill memory.

    ``arrays``: log_likelihood (N,), and of a calibrated model p_value (N,), test_p_values (N, T), statistics (N, K),
    perhaps discovery (N,), rarity (N, H, W) and place_p_value (N, H, W). Of pictures of any size also dimensions (N,),
    sides (N, 2) of their maps and scale (N, 2), by how much the picture that was sent is higher and wider.
    """
    for start in range(0, len(arrays["log_likelihood"]), _BLOCK):
        block = {name: array[start : start + _BLOCK] for name, array in arrays.items()}
        yield from _block(model, block, alpha)


def _block(model: ModelInfo, arrays: Arrays, alpha: float) -> Iterator[ItemScore]:
    nats = arrays["log_likelihood"].tolist()
    entries = arrays["dimensions"].tolist() if "dimensions" in arrays else [model.bits_per_dim_of] * len(nats)
    items = [_likelihood(value, dimensions) for value, dimensions in zip(nats, entries, strict=True)]
    if "p_value" in arrays:
        reachable, unreachable = alpha_reachable(model, alpha) is not False, unreachable_reason(model, alpha)
        columns = (arrays[name].tolist() for name in ("p_value", "test_p_values", "statistics"))
        for item, p_value, p_values, values in zip(items, *columns, strict=True):
            item.p_value, item.anomalous = p_value, p_value <= alpha if reachable else None
            item.reason = item.reason if reachable else unreachable
            item.tests = _tests(model, p_values, values)
    if "discovery" in arrays:
        for item, discovery in zip(items, arrays["discovery"].tolist(), strict=True):
            item.discovery = discovery
    if "rarity" in arrays:
        for item, found in zip(items, regions_of(arrays, alpha), strict=True):
            item.regions = found if alpha_reachable(model, alpha) is not False else None
    yield from items


def with_faults(scores: Iterator[ItemScore], faults: Mapping[int, str]) -> Iterator[ItemScore]:
    """Scores with, at the places of the faults among all items, documents that hold nothing but the reason."""
    place = 0
    while True:
        if place in faults:
            yield ItemScore(None, None, reason=faults[place])
        elif (score := next(scores, None)) is not None:
            yield score
        else:
            return
        place += 1


def regions_of(arrays: Arrays, alpha: float) -> Iterator[list[Region]]:
    """The regions of each item, from the arrays of a score (see ``item_scores``)."""
    for row, (rarity, p_values) in enumerate(zip(arrays["rarity"], arrays["place_p_value"], strict=True)):
        if "sides" not in arrays:
            yield regions(rarity, p_values, alpha)
            continue
        height, width = arrays["sides"][row].tolist()
        found = regions(rarity[:height, :width], p_values[:height, :width], alpha)
        down, across = arrays["scale"][row].tolist()
        sent = round(height * down), round(width * across)
        yield [scaled(region, (height, width), sent) for region in found]


def alpha_reachable(model: ModelInfo, alpha: float) -> bool | None:
    """Whether a p-value of this model can be as small as alpha; None without calibration."""
    return None if model.calibration is None else alpha >= model.calibration.smallest_p_value


def head_of(model: ModelInfo, alpha: float) -> dict[str, Any]:
    """The members of ``Scores`` before its items."""
    note = model.calibration
    return {
        "model": model.reference,
        "calibrated": note is not None,
        "alpha": alpha,
        "calibration_size": None if note is None else note.reference,
        "smallest_p_value": None if note is None else note.smallest_p_value,
        "alpha_reachable": alpha_reachable(model, alpha),
    }


def unreachable_reason(model: ModelInfo, alpha: float) -> str:
    """Why no p-value of this model can be as small as alpha; empty without calibration."""
    note = model.calibration
    if note is None:
        return ""
    return (
        f"alpha {alpha:g} is below the smallest p-value {note.smallest_p_value:.3g} of {note.reference:,} "
        "calibration items"
    )


def _tests(model: ModelInfo, p_values: Sequence[float], values: Sequence[float]) -> dict[str, TestResult]:
    found, place = {}, 0
    for test, p_value in zip(model.tests, p_values, strict=True):
        stop = place + len(test.statistics)
        telling = {name: _finite(value) for name, value in zip(test.statistics, values[place:stop], strict=True)}
        found[test.name] = TestResult(p_value, telling)
        place = stop
    return found


def group_score(
    model: ModelInfo,
    log_likelihood: np.ndarray,
    p_value: float | None,
    alpha: float,
    dimensions: np.ndarray | None = None,
) -> GroupScore:
    """From the log-likelihoods (N,) of all items and the p-value of all taken together.

    ``dimensions`` (N,) are given where items differ in size; bits per dimension are then of all their entries together.
    """
    nats = log_likelihood.tolist()
    entries = model.bits_per_dim_of if dimensions is None else float(dimensions.mean())
    mean = _likelihood(sum(nats) / len(nats), entries)
    return GroupScore(
        count=len(nats),
        log_likelihood=mean.log_likelihood,
        bits_per_dim=mean.bits_per_dim,
        p_value=p_value,
        anomalous=None if p_value is None else p_value <= alpha,
    )


def to_json(document: Any) -> bytes:
    """Compact JSON; a number that is not finite becomes null, since JSON has no word for it."""
    return msgspec.json.encode(document)


def bits_per_dim(log_likelihood: float, dimensions: float) -> float:
    """Nats an item over [0, 1] pixels to bits per 8-bit pixel: 8 - LL / (D ln 2) on the true size."""
    return 8 - log_likelihood / (dimensions * math.log(2))


def _likelihood(nats: float, dimensions: float | None) -> ItemScore:
    if not math.isfinite(nats):
        return ItemScore(None, None, reason=BEYOND)
    return ItemScore(nats, bits_per_dim(nats, dimensions) if dimensions else None)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
