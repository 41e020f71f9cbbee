"""POST /score: exact log-likelihoods, and verdicts that keep a promise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Literal

import numpy as np
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.responses import Response

from service.api.answers import Answer, headers_of
from service.api.guard import Exchange
from service.api.negotiation import negotiate
from service.api.operations import operation
from service.api.parameters import ITEMS_BODY, ItemParameters, Share, items_sent, pictures_sent
from service.api.schemas import answered
from service.api.service import Service
from service.media.any_pictures import notes_on, preparation_of
from service.media.documents import (
    ColumnContribution,
    GroupScore,
    ItemScore,
    Scores,
    group_score,
    head_of,
    item_scores,
    to_json,
    with_faults,
)
from service.media.explanations import Wish, column_contributions, explained, with_contributions
from service.media.heat import heat_sheet, levels_of, sheet_size
from service.media.maps import cropped
from service.media.npy import Array, to_npy
from service.media.pictures import to_png
from service.media.types import JSON, NPY, PNG
from service.protocol.client import Found
from service.protocol.defaults import ALPHA, SCORE_SEED
from service.protocol.errors import TooLarge, WrongValue
from service.protocol.messages import Options, Submit
from service.protocol.model_info import ModelInfo

_AT_ONCE = 500
"""Items of one piece of an answer."""
_ITEM_BYTES = 2**10
"""Bytes of an item's part of the answer, about."""
_FEW = 8
"""Items whose documents are written on the event loop, unless regions are to be found."""
_NOT_TRIVIAL = 2**15
"""Bytes of work for which a thread is worth its cost."""
_MOST_SHOWN = 64
"""Pictures in one PNG of maps."""
_MOST_PIXELS_SHOWN = 2**22
"""Their pixels together, of a model that takes pictures of any size."""


class ScoreParameters(ItemParameters):
    """The query of `POST /score`."""

    alpha: Annotated[
        Share, Field(description="The false-alarm rate: an item is anomalous at a p-value of at most this")
    ] = ALPHA
    map: Annotated[bool, Field(description="Also tell where each picture is strange")] = False
    fdr: Annotated[
        float | None,
        Field(gt=0, lt=1, allow_inf_nan=False, description="The share of flagged items that may be false, on average"),
    ] = None
    contributions: Annotated[Wish, Field(description="Of which rows of a table to name the columns at fault")] = (
        "anomalous"
    )
    bad_rows: Annotated[
        Literal["refuse", "skip"],
        Field(description="What a row of a table that cannot be scored does: refuse the request, or get a `reason`"),
    ] = "refuse"


@operation(
    "POST", "/score", ScoreParameters, responses={200: answered(Scores, PNG, NPY)}, body=ITEMS_BODY, refusals=(413, 415)
)
async def score(exchange: Exchange, query: ScoreParameters) -> Response:
    """The log-likelihood of every item and a calibrated verdict on it, in the order sent.

    An item is `anomalous` when its p-value is at most `alpha`: of ordinary items a share of about `alpha` is. With
    `fdr`, `discovery` flags items so that on average at most that share of the flags is false. `group` judges the
    request as a whole, which is far sharper than any single verdict. Whole numbers are 8-bit levels; numbers with a
    decimal point are fractions in [0, 1]. Rows of a table's model are CSV with a line of names, or JSON objects by
    column name; null or an empty cell is a missing value. An image's answer depends on the image, the model and the
    seed (0 if absent), never on its neighbours. `contributions` names the columns that make a row of a table unlikely:
    of the first 32 anomalous rows the three greatest, with `all` every column of every row, with `none` none. A row
    that cannot be read refuses the request; with `bad_rows=skip` it gets a `reason` in its place, and no figure.

    A model of pictures of any size scales larger ones down as it did in training; `fit` then only lets grey stand for
    colour, or the other way round. Its maps have the size that it looks at, filled up with NaN to the largest.

    With `map`, each picture gets the `regions` where it is strange: of ordinary pictures at most a share `alpha` has
    any. By `Accept`, the answer is then also npy, float32 maps (N, H, W) of -log10 of the share of places of ordinary
    pictures that are as strange, or a PNG of the pictures under the map's colours, of at most 64 pictures.
    """
    service = exchange.service
    model = await service.model(query.model)
    if query.map and model.map is None:
        raise WrongValue(
            f"{model.reference} has no map of where a picture is strange: sluice-calibrate adds one", "map"
        )
    form = negotiate(exchange.accept, (JSON, NPY, PNG) if query.map else (JSON,))
    deadline = exchange.deadline()
    with service.device.queue.reserve() as room:
        preparation, sent = preparation_of(model, judged=True), None
        faults: Mapping[int, str] = {}
        if preparation is None:
            items, notes, faults = await items_sent(exchange, model, room, query.fit, query.bad_rows == "skip")
        else:
            sent = await pictures_sent(exchange, preparation, room, query.fit)
            items, notes = sent.items, notes_on(sent.sides, sent.scale, model)
        if form == PNG and len(items) > _MOST_SHOWN:
            raise TooLarge(f"at most {_MOST_SHOWN} pictures are shown in one PNG; npy takes more", "items")
        if form == PNG and sent is not None and sent.sides.prod(axis=1).sum() > _MOST_PIXELS_SHOWN:
            raise TooLarge(
                f"pictures of at most {_MOST_PIXELS_SHOWN:,} pixels together are shown in one PNG; npy takes more",
                "items",
            )
        if form == PNG:
            sheet_size([items.shape[1:3]] * len(items) if sent is None else sent.sides.tolist())
        room.release()
        found: Found = await service.device.ask(
            lambda number: Submit(
                id=number,
                model=model.reference,
                kind="score",
                deadline=deadline,
                arrays={"items": items} if sent is None else sent.arrays(),
                seed=SCORE_SEED if query.seed is None else query.seed,
                options=Options(fdr=query.fdr, map=query.map) if query.map or query.fdr is not None else _PLAIN,
            )
        )
    if query.fdr is None:  # a request of the same tick may have asked for discoveries
        found.arrays.pop("discovery", None)
    count_scores(service, model, found, query.alpha)
    if sent is not None:
        found.arrays.update(sides=sent.sides, scale=sent.scale)
    if form != JSON:
        return await _map_answer(service, model, items, found, query.alpha, form)
    group_p_value = found.each.get("group_p_value")
    together = group_score(
        model,
        found.arrays["log_likelihood"],
        None if group_p_value is None else float(group_p_value[0]),
        query.alpha,
        found.arrays.get("dimensions"),
    )
    scores = item_scores(model, found.arrays, query.alpha)
    places = explained(model, query.contributions, found.arrays.get("p_value"), query.alpha)
    if places:
        told = await _contributions(exchange, model, items[places], query, deadline)
        scores = with_contributions(scores, dict(zip(places, told, strict=True)))
    if faults:
        scores = with_faults(scores, faults)
    pieces = _document(model, scores, together, query.alpha, notes)
    if len(items) + len(faults) <= _AT_ONCE:
        size = 0 if len(items) <= _FEW and not query.map else max(len(items) * _ITEM_BYTES, _NOT_TRIVIAL)
        return Answer(await service.compute(lambda: b"".join(pieces), size), JSON, headers_of(model))
    return StreamingResponse(_streamed(service, pieces), media_type=JSON, headers=headers_of(model))


async def _contributions(
    exchange: Exchange, model: ModelInfo, items: np.ndarray, query: ScoreParameters, deadline: float
) -> list[list[ColumnContribution]]:
    """What the columns of some rows contribute: a second piece of work for the device."""
    found: Found = await exchange.service.device.ask(
        lambda number: Submit(
            id=number,
            model=model.reference,
            kind="explain",
            deadline=deadline,
            arrays={"items": items},
            seed=SCORE_SEED if query.seed is None else query.seed,
        )
    )
    return column_contributions(model, query.contributions, items, found.arrays)


_PLAIN = Options()


async def _map_answer(
    service: Service, model: ModelInfo, items: Array, found: Found, alpha: float, form: str
) -> Response:
    """The maps alone, as npy or as a picture."""
    rarity = found.arrays["rarity"]

    def representation() -> bytes:
        if form == NPY:
            return to_npy(rarity)
        shown = cropped(found.arrays, levels_of(items))
        return to_png(heat_sheet(shown.items, shown.rarity, shown.regions(alpha)))

    return Answer(await service.compute(representation, _AT_ONCE * rarity.nbytes), form, headers_of(model))


def count_scores(service: Service, model: ModelInfo, found: Found, alpha: float) -> None:
    """Tell the metrics how many items were scored, and how many of them are anomalous."""
    scored, anomalous, promised = service.metrics.scored(model.reference)
    scored.add(len(found.arrays["log_likelihood"]))
    if "p_value" in found.arrays:
        anomalous.add(int((found.arrays["p_value"] <= alpha).sum()))
        promised.add(alpha * len(found.arrays["p_value"]))


def _document(
    model: ModelInfo, items: Iterator[ItemScore], group: GroupScore, alpha: float, notes: Sequence[str]
) -> Iterator[bytes]:
    """The JSON of ``Scores``, in pieces: of many items no more than one piece is in memory."""
    yield to_json(head_of(model, alpha))[:-1] + b',"items":['
    separator = b""
    while block := list(islice(items, _AT_ONCE)):
        yield separator + to_json(block)[1:-1]
        separator = b","
    yield b'],"group":' + to_json(group) + b',"notes":' + to_json(list(notes)) + b"}"


async def _streamed(service: Service, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while piece := await service.compute(lambda: next(pieces, b""), _AT_ONCE * _ITEM_BYTES):
        yield piece
