"""Every call of the service but inpainting, as operations without input or output (see ``calls``)."""

from __future__ import annotations

import hashlib
import operator
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate
from typing import Any, TypeVar
from urllib.parse import quote

from sluice_client.arrays import array_form, filled_up, read_array, stacked, together
from sluice_client.calls import JSON, NPY, Answer, Call, Operation
from sluice_client.errors import HandedIn, ServiceError, UnusableInput
from sluice_client.items import Numbers, Payload, Rows, numbers_of, payload_of
from sluice_client.models import Limits, Model, Models, limits_of, model_of, models_of
from sluice_client.npy import from_npy
from sluice_client.results import Decoded, Latents, Maps, Samples
from sluice_client.scores import Scores, benjamini_hochberg, columns_of, joined
from sluice_client.tables import Table

T = TypeVar("T")

_NUMERIC = ("continuous", "integer")
"""Kinds of column whose cells are numbers."""
_FORBIDDEN = 403
_TOO_LARGE = frozenset({413})
_SEED_BITS = 53
_CERTAIN_N = 64
_CERTAIN_ITEMS, _CERTAIN_BYTES = 512, 2**19
"""Up to here a batch is sent without asking for the service's limits. A service with smaller ones refuses it."""
_HEAD_BYTES = 4096
"""What a body holds beside its items, at most."""


class Known:
    """What a client has learned of its service, so that it asks once."""

    def __init__(self) -> None:
        self.limits: Limits | None = None


def list_models(known: Known) -> Operation[Models]:
    """All models."""

    def read(answer: Answer) -> Models:
        document = answer.json()
        known.limits = limits_of(document)
        return models_of(document)

    (models,) = yield [Call("GET", "/models", read, repeatable=True)]
    return models  # type: ignore[no-any-return]


def describe(name: str) -> Operation[Model]:
    """One model, with all that the service tells of it."""
    (model,) = yield [Call("GET", f"/models/{_segment(name)}", lambda answer: model_of(answer.json()), repeatable=True)]
    return model  # type: ignore[no-any-return]


def read_card(name: str) -> Operation[str]:
    """A model's card, in Markdown."""
    path = f"/models/{_segment(name)}/card"
    (card,) = yield [Call("GET", path, lambda answer: answer.content.decode("utf-8", "replace"), repeatable=True)]
    return card  # type: ignore[no-any-return]


def load(name: str) -> Operation[str]:
    """Let the service load the default version of its store; `name@version` of what serves now."""
    path = f"/v2/repository/models/{_segment(name)}/load"
    (reference,) = yield [Call("POST", path, lambda answer: str(answer.json()["model"]))]
    return reference  # type: ignore[no-any-return]


def unload(name: str) -> Operation[None]:
    """Let the service serve a name no longer."""
    yield [Call("POST", f"/v2/repository/models/{_segment(name)}/unload", lambda _: None)]


def sample(
    known: Known, n: int, *, model: str | None, seed: int | None, temperature: float | None
) -> Operation[Samples]:
    """New items, in several requests where one may not hold so many."""
    try:
        n = operator.index(n)
    except TypeError as error:
        raise UnusableInput(f"n: must be a whole number, not {n!r}") from error
    most = max(n, 1)
    if n > _CERTAIN_N:
        most = (yield from _limits(known)).max_n
    first = secrets.randbits(_SEED_BITS) if seed is None and n > most else seed

    def call(start: int) -> Call[Samples]:
        params = {
            "n": min(n - start, most),
            "model": model,
            "seed": _derived(first, start // most),
            "temperature": temperature,
        }
        return Call("POST", "/sample", read_samples, params, {"Accept": NPY})

    parts: list[Samples] = yield [call(start) for start in range(0, max(n, 1), most)]
    return Samples(stacked([part.array for part in parts]), parts[0].model, parts[0].seed)


def read_samples(answer: Answer) -> Samples:
    """Items as the service sends them."""
    model, seed = answer.header("x-sluice-model"), answer.header("x-sluice-seed")
    return Samples(from_npy(answer.content), model, int(seed))


def score(
    known: Known,
    items: Any,
    *,
    model: str | None,
    alpha: float | None,
    fdr: float | None,
    seed: int | None,
    fit: bool,
    regions: bool,
    columns: Sequence[str] | None,
) -> Operation[Scores]:
    """Scores of items. In several requests, discoveries are found among all of them together."""
    payload = yield from _payload(items, model, columns)
    params = {"model": model, "alpha": alpha, "fdr": fdr, "seed": seed, "fit": fit or None, "map": regions or None}
    parts = yield from _in_batches(known, payload, model, _post("/score", params, JSON, _scores))
    found = joined([part.columns for part in parts])
    if fdr is not None and len(parts) > 1 and parts[0].calibrated:
        found["discovery"] = benjamini_hochberg(found["p_value"], fdr)
    return Scores(
        parts[0].model,
        found,
        calibrated=parts[0].calibrated,
        alpha=parts[0].alpha,
        groups=[group for part in parts for group in part.groups],
        notes=[note for part in parts for note in part.notes],
    )


def maps(known: Known, items: Any, *, model: str | None, seed: int | None, fit: bool) -> Operation[Maps]:
    """Maps of images."""
    payload = yield from _payload(items, model, None)
    params = {"model": model, "map": True, "seed": seed, "fit": fit or None}
    parts = yield from _in_batches(known, payload, model, _post("/score", params, NPY, read_array))
    return Maps(filled_up([part[0] for part in parts]), parts[0][1])


def encode(
    known: Known,
    items: Any,
    *,
    model: str | None,
    seed: int | None,
    fit: bool,
    columns: Sequence[str] | None,
    log_abs_det: bool,
) -> Operation[Latents]:
    """Latents of items."""
    payload = yield from _payload(items, model, columns)
    params = {"model": model, "seed": seed, "fit": fit or None}
    call = _post("/encode", params, *array_form(log_abs_det, "latents"))
    parts = yield from _in_batches(known, payload, model, call)
    return Latents(*together(parts))


def decode(known: Known, latents: Any, *, model: str | None, log_abs_det: bool) -> Operation[Decoded]:
    """Items that latents stand for."""
    payload = Numbers(numbers_of(latents, "latents"))
    call = _post("/decode", {"model": model}, *array_form(log_abs_det, "items"))
    parts = yield from _in_batches(known, payload, model, call, latents=True)
    return Decoded(*together(parts))


def _payload(items: Any, model: str | None, columns: Sequence[str] | None) -> Operation[Payload]:
    """Items ready to be sent. Of a table, the model's own columns in its order where it knows them."""
    payload = payload_of(items, columns)
    if not len(payload):
        raise UnusableInput("items: the table has no rows")
    if not isinstance(payload, Table):
        return payload
    details = yield from _model(model)
    if not details.columns:
        return Numbers(payload.numbers())
    chosen = payload.chosen([column["name"] for column in details.columns])
    # Words and dates are written out: the service makes numbers of them.
    plain = all(column.get("kind") in _NUMERIC for column in details.columns)
    if plain and chosen.is_numeric():
        return Numbers(chosen.numbers())
    return Rows(chosen.with_counts([column["name"] for column in details.columns if column.get("kind") in _NUMERIC]))


def _in_batches(
    known: Known, payload: Payload, model: str | None, call: Callable[[Payload], Call[T]], *, latents: bool = False
) -> Operation[list[T]]:
    """Send items in as few requests as the service's limits allow; what was read of each answer, in order."""
    most, whole = len(payload), latents or not isinstance(payload, Numbers)
    if most > _CERTAIN_ITEMS or payload.nbytes() > _CERTAIN_BYTES:
        limits = yield from _limits(known)
        if not whole:
            payload, whole = yield from _as_batch(payload, model)
        each = max(payload.nbytes() // len(payload), 1)
        most = max(min(limits.max_items, (limits.max_body_bytes - _HEAD_BYTES) // each), 1)
    parts = [payload]
    if whole and most < len(payload):
        parts = [payload.part(start, start + most) for start in range(0, len(payload), most)]
    return (yield from _sent(parts, call, model, whole))


def _sent(
    parts: Sequence[Payload], call: Callable[[Payload], Call[T]], model: str | None, whole: bool, first: int = 0
) -> Operation[list[T]]:
    """Send parts; one that is refused as too large, such as by a proxy, is sent again in two halves.

    ``whole`` says that each row of a part is known to be an item; an array of numbers may be one item. ``first`` is the
    number of the first part's first item among all.
    """
    starts = list(accumulate(map(len, parts), initial=first))[:-1]
    answers = yield [
        replace(
            call(part),
            handed_in=HandedIn(start, part.names),
            expected=_TOO_LARGE if len(part) > 1 else frozenset(),
        )
        for part, start in zip(parts, starts, strict=True)
    ]
    found: list[T] = []
    for part, start, answer in zip(parts, starts, answers, strict=True):
        if isinstance(answer, ServiceError):
            items, apart = (part, True) if whole else (yield from _as_batch(part, model))
            if len(items) == 1 or not apart:
                raise answer
            middle = len(items) // 2
            halves = [items.part(0, middle), items.part(middle, len(items))]
            found += yield from _sent(halves, call, model, True, start)
        else:
            found.append(answer)
    return found


def _as_batch(payload: Payload, model: str | None) -> Operation[tuple[Payload, bool]]:
    """A payload of which each row is an item, and whether that is known.

    It is not where the key may not read the model's shape: an array may be one picture then, which is not to be cut.
    """
    shape = yield from _item_shape(model)
    return payload.batch(shape), shape is not None


def _post(
    path: str, params: Mapping[str, Any], accept: str, read: Callable[[Answer], T]
) -> Callable[[Payload], Call[T]]:
    """Makes the call that sends some items to a path."""
    return lambda part: Call("POST", path, read, params, {"Accept": accept}, part.body)


def _limits(known: Known) -> Operation[Limits]:
    """The service's limits; the usual ones where the key may not read them."""
    if known.limits is None:
        with suppress(ServiceError):
            yield from list_models(known)
    return known.limits or Limits()


def _item_shape(reference: str | None) -> Operation[tuple[int, ...] | None]:
    """The shape of a model's items; None where the key may not read it."""
    try:
        return (yield from _model(reference)).item_shape
    except ServiceError as error:
        if error.status == _FORBIDDEN:
            return None
        raise


def _model(reference: str | None) -> Operation[Model]:
    """The model that a request means."""
    if reference is None:
        models: Models
        (models,) = yield [Call("GET", "/models", lambda answer: models_of(answer.json()), repeatable=True)]
        default = [model.name for model in models if model.default]
        if not default:
            raise UnusableInput("model: the service has no default model; name one")
        reference = default[0]
    return (yield from describe(reference))


def _scores(answer: Answer) -> Scores:
    document = answer.json()
    return Scores(
        document["model"],
        columns_of(document["items"]),
        calibrated=document["calibrated"],
        alpha=document["alpha"],
        groups=[document["group"]],
        notes=document.get("notes", ()),
    )


def _derived(seed: int | None, place: int) -> int | None:
    """The seed of a later request of one call: it follows from the call's seed, and repeats none of its draws."""
    if seed is None or place == 0:
        return seed
    digest = hashlib.sha256(f"{seed}:{place}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def _segment(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="@")
