"""From the tensors of a request to the message that asks the device for the work."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic import ValidationError

from service.api.inpaint_requests import InpaintParameters, work_of
from service.api.operations import Parameters
from service.api.parameters import ItemParameters, make_room
from service.api.problems import invalid
from service.api.routes.sample import SampleParameters
from service.api.routes.score import ScoreParameters
from service.api.service import Service, bound, draw_seed
from service.api.v2.items import ItemTensors, items_sent, numbers_of, required, rows_of, size_of
from service.api.v2.signatures import Called
from service.media.inference import InferRequest, Sent, inputs_of
from service.media.items import ItemSpec, checked_latents, with_hidden_places
from service.media.npy import Array
from service.media.tensors import BYTES
from service.protocol.defaults import SCORE_SEED
from service.protocol.errors import WrongValue
from service.protocol.messages import Options, Submit
from service.protocol.queue import Reservation

P = TypeVar("P", bound=Parameters)

_OPTIONS = {
    "score": ("seed", "alpha", "fdr", "fit"),
    "sample": ("n", "seed", "temperature"),
    "inpaint": ("n", "steps", "method", "step_size", "temperature", "seed", "fit"),
    "encode": ("seed", "fit"),
    "decode": (),
}
"""What may be sent as a parameter or as an input of one value."""
_MICROSECONDS = 10**6
_LONGEST = 10**15


class Asked(NamedTuple):
    """The work that a request asks for: a message that lacks its id and deadline, and the parameters behind it."""

    work: Submit
    query: Parameters


def timeout_of(request: InferRequest) -> float | None:
    """Seconds that the parameter `timeout`, in microseconds, gives the request; None where it sets no limit."""
    timeout = request.parameters.get("timeout")
    if timeout is None:
        return None
    if type(timeout) is not int or not 0 <= timeout <= _LONGEST:
        raise WrongValue("timeout must be a whole number of microseconds", "timeout")
    return timeout / _MICROSECONDS if timeout else None


async def asked_for(
    service: Service, function: Called, request: InferRequest, binary: memoryview, room: Reservation
) -> Asked:
    """Make room in the queue by the shapes that are claimed, then decode. Raises the problems of both."""
    inputs = inputs_of(request, binary, function.signature().input_names)
    return await _MAKERS[function.kind](service, function, request.parameters, inputs, room)


async def _score(
    service: Service, function: Called, parameters: Mapping[str, Any], inputs: dict[str, Sent], room: Reservation
) -> Asked:
    sent = items_sent(inputs, function.signature(), "items")
    query = _query(ScoreParameters, _OPTIONS["score"], parameters, inputs)
    work = await _of_items(service, function, query, sent, room, function.model.judged_shape)
    if function.model.pictures is not None:
        items = work.arrays["items"]
        work.arrays["sides"] = np.tile(np.array(items.shape[1:3], dtype=np.int64), (len(items), 1))
        room.resize(work.cost)
    if query.fdr is not None:
        work.options = Options(fdr=query.fdr)
    return Asked(work, query)


async def _encode(
    service: Service, function: Called, parameters: Mapping[str, Any], inputs: dict[str, Sent], room: Reservation
) -> Asked:
    sent = items_sent(inputs, function.signature(), "items")
    query = _query(ItemParameters, _OPTIONS["encode"], parameters, inputs)
    return Asked(await _of_items(service, function, query, sent, room, function.model.item_shape), query)


async def _decode(
    service: Service, function: Called, _: Mapping[str, Any], inputs: dict[str, Sent], room: Reservation
) -> Asked:
    model, sent = function.model, required(inputs, "latents")
    make_room(room, rows_of(sent, model.latent_shape), service.settings.max_items)
    latents = await service.compute(lambda: checked_latents(numbers_of(sent), model.latent_shape), size_of(sent))
    work = Submit(id=0, model=model.reference, kind="decode", deadline=0.0, arrays={"latents": latents})
    return Asked(work, Parameters())


async def _sample(
    service: Service, function: Called, parameters: Mapping[str, Any], inputs: Mapping[str, Sent], room: Reservation
) -> Asked:
    query = _query(SampleParameters, _OPTIONS["sample"], parameters, inputs)
    bound("n", query.n, service.settings.max_n)
    room.resize(query.n)
    seed = draw_seed() if query.seed is None else query.seed
    options = Options(temperature=query.temperature)
    reference = function.model.reference
    return Asked(
        Submit(id=0, model=reference, kind="sample", deadline=0.0, n=query.n, seed=seed, options=options), query
    )


async def _inpaint(
    service: Service, function: Called, parameters: Mapping[str, Any], inputs: dict[str, Sent], room: Reservation
) -> Asked:
    image = items_sent(inputs, function.signature(), "image")
    query = _query(InpaintParameters, _OPTIONS["inpaint"], parameters, inputs)
    model = function.model
    work = work_of(query, model, service.settings)
    mask = inputs.get("mask")
    if mask is not None and mask.tensor.datatype == BYTES:
        raise WrongValue("mask: send BOOL, true where the image is to be filled in", "mask")
    if image.rows(model.item_shape) != 1 or (mask is not None and rows_of(mask, model.item_shape) != 1):
        raise WrongValue("one image is inpainted in one request; n asks for several completions", "image")
    room.resize(work.cost)
    item, hidden = await service.compute(lambda: _with_gaps(image, mask, ItemSpec.of(model), query.fit), image.size)
    work.arrays = {"items": item, "hidden": np.ascontiguousarray(hidden)}
    return Asked(work, query)


def _with_gaps(image: ItemTensors, mask: Sent | None, spec: ItemSpec, fit: bool) -> tuple[Array, Array]:
    """One item (1, *S), and where it is to be filled in (1, *S): where it is NaN, and by the mask."""
    if spec.table is not None:
        spec = spec._replace(table=spec.table._replace(takes_missing=True))
    array = image.items(spec, fit, raw=True)
    hidden = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
    if mask is not None:
        hidden = mask.values().astype(bool).reshape(array.shape) | hidden
    if spec.table is not None:  # a row is an item of the model already
        return np.where(hidden, np.float32(0), array), hidden
    return with_hidden_places(array, hidden, spec)


_Maker = Callable[..., Awaitable[Asked]]
_MAKERS: Mapping[str, _Maker] = {
    "score": _score,
    "sample": _sample,
    "inpaint": _inpaint,
    "encode": _encode,
    "decode": _decode,
}


async def _of_items(
    service: Service,
    function: Called,
    query: ItemParameters,
    sent: ItemTensors,
    room: Reservation,
    shape: tuple[int, ...],
) -> Submit:
    model = function.model
    make_room(room, sent.rows(shape), service.settings.max_items)
    spec = ItemSpec.of(model)._replace(shape=shape)
    items = await service.compute(lambda: sent.items(spec, query.fit), sent.size)
    seed = SCORE_SEED if query.seed is None else query.seed
    return Submit(id=0, model=model.reference, kind=function.kind, deadline=0.0, arrays={"items": items}, seed=seed)


def _query(kind: type[P], names: tuple[str, ...], parameters: Mapping[str, Any], inputs: Mapping[str, Sent]) -> P:
    """The parameters of a function, checked as those of a query are. An input wins over a parameter."""
    said = {name: parameters[name] for name in names if parameters.get(name) is not None}
    said.update({name: _single(inputs[name]) for name in names if name in inputs})
    if not said:
        plain: P = _default(kind)
        return plain
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise WrongValue(*invalid(error)) from error


@lru_cache(maxsize=len(_OPTIONS))
def _default(kind: type[P]) -> P:
    """The parameters of a request that says nothing of them."""
    return kind()


def _single(sent: Sent) -> Any:
    name = sent.tensor.name
    if math.prod(sent.shape) != 1:
        raise WrongValue(f"{name} must be one value, not of shape {sent.shape}", name)
    value = sent.values().item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
