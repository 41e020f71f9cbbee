"""From the tensors of a request to the message that asks the device for the work."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic import ValidationError

from service.api.inpaint_requests import InpaintParameters, work_of
from service.api.operations import Parameters
from service.api.parameters import ItemParameters, make_room, spec_of
from service.api.problems import invalid
from service.api.routes.sample import SampleParameters
from service.api.routes.score import ScoreParameters
from service.api.service import Service, bound, draw_seed
from service.api.v2.signatures import Called
from service.media.inference import InferRequest, Sent, inputs_of
from service.media.items import Body, ItemSpec, Part, checked, checked_latents, items_of, with_hidden_places
from service.media.json_items import row_from_json
from service.media.npy import Array
from service.media.tensors import BYTES
from service.media.types import MULTIPART, PNG
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
_UNFOLDED = 2**20
"""Bytes that decoding a small file may be worth: beside the event loop, it holds nobody up."""


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
    service: Service, function: Called, parameters: Mapping[str, Any], inputs: Mapping[str, Sent], room: Reservation
) -> Asked:
    query = _query(ScoreParameters, _OPTIONS["score"], parameters, inputs)
    work = await _of_items(service, function, query, inputs, room)
    if query.fdr is not None:
        work.options = Options(fdr=query.fdr)
    return Asked(work, query)


async def _encode(
    service: Service, function: Called, parameters: Mapping[str, Any], inputs: Mapping[str, Sent], room: Reservation
) -> Asked:
    query = _query(ItemParameters, _OPTIONS["encode"], parameters, inputs)
    return Asked(await _of_items(service, function, query, inputs, room), query)


async def _decode(
    service: Service, function: Called, _: Mapping[str, Any], inputs: Mapping[str, Sent], room: Reservation
) -> Asked:
    model, sent = function.model, _required(inputs, "latents")
    make_room(room, _rows(sent, model.latent_shape), service.settings.max_items)
    latents = await service.compute(lambda: checked_latents(_numbers(sent), model.latent_shape), _size(sent))
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
    service: Service, function: Called, parameters: Mapping[str, Any], inputs: Mapping[str, Sent], room: Reservation
) -> Asked:
    query = _query(InpaintParameters, _OPTIONS["inpaint"], parameters, inputs)
    model = function.model
    work = work_of(query, model, service.settings)
    image, mask = _required(inputs, "image"), inputs.get("mask")
    if mask is not None and mask.tensor.datatype == BYTES:
        raise WrongValue("mask: send BOOL, true where the image is to be filled in", "mask")
    if _rows(image, model.item_shape) != 1 or (mask is not None and _rows(mask, model.item_shape) != 1):
        raise WrongValue("one image is inpainted in one request; n asks for several completions", "image")
    room.resize(work.cost)
    spec = spec_of(model)

    def decoded() -> tuple[Array, Array]:
        array = _items(image, spec, query.fit, raw=True)
        unknown = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
        hidden = unknown if mask is None else mask.values().astype(bool).reshape(array.shape) | unknown
        return with_hidden_places(array, hidden, spec)

    item, hidden = await service.compute(decoded, _size(image))
    work.arrays = {"items": item, "hidden": np.ascontiguousarray(hidden)}
    return Asked(work, query)


_Maker = Callable[..., Awaitable[Asked]]
_MAKERS: Mapping[str, _Maker] = {
    "score": _score,
    "sample": _sample,
    "inpaint": _inpaint,
    "encode": _encode,
    "decode": _decode,
}


async def _of_items(
    service: Service, function: Called, query: ItemParameters, inputs: Mapping[str, Sent], room: Reservation
) -> Submit:
    model, sent = function.model, _required(inputs, "items")
    make_room(room, _rows(sent, model.item_shape), service.settings.max_items)
    spec = spec_of(model)
    items = await service.compute(lambda: _items(sent, spec, query.fit), _size(sent))
    seed = SCORE_SEED if query.seed is None else query.seed
    return Submit(id=0, model=model.reference, kind=function.kind, deadline=0.0, arrays={"items": items}, seed=seed)


def _query(kind: type[P], names: tuple[str, ...], parameters: Mapping[str, Any], inputs: Mapping[str, Sent]) -> P:
    """The parameters of a function, checked as those of a query are. An input wins over a parameter."""
    said = {name: parameters[name] for name in names if parameters.get(name) is not None}
    said.update({name: _single(inputs[name]) for name in names if name in inputs})
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise WrongValue(*invalid(error)) from error


def _single(sent: Sent) -> Any:
    name = sent.tensor.name
    if math.prod(sent.shape) != 1:
        raise WrongValue(f"{name} must be one value, not of shape {sent.shape}", name)
    value = sent.values().item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _required(inputs: Mapping[str, Sent], name: str) -> Sent:
    if name not in inputs:
        raise WrongValue(f"the input {name} is missing", name)
    return inputs[name]


def _rows(sent: Sent, shape: tuple[int, ...]) -> int:
    """Items that a tensor claims to hold. Raises WrongValue for another shape than the model's."""
    claimed, name = tuple(sent.shape), sent.tensor.name
    if sent.tensor.datatype == BYTES:
        if len(claimed) == 1 or (len(claimed) == 2 and claimed[1] == 1):
            return claimed[0]
        raise WrongValue(f"{name}: BYTES must be of shape [N], one element an item, not {list(claimed)}", name)
    if claimed == shape:
        return 1
    if claimed[1:] != shape or not claimed[0]:
        raise WrongValue(f"{name} must be of shape {[-1, *shape]}, not {list(claimed)}", name)
    return claimed[0]


def _size(sent: Sent) -> int:
    """Bytes that decoding a tensor is worth."""
    if sent.tensor.datatype == BYTES:
        return _UNFOLDED
    return len(sent.data if sent.data is not None else bytes(sent.tensor.data))  # type: ignore[arg-type]


def _items(sent: Sent, spec: ItemSpec, fit: bool, raw: bool = False) -> Array:
    """Items (N, *S) of a model; with ``raw`` numbers as they were sent, which may be NaN."""
    name = sent.tensor.name
    if sent.tensor.datatype != BYTES:
        return _numbers(sent) if raw else checked(_numbers(sent), spec, name)
    elements: list[bytes] = sent.values().ravel().tolist()
    if not elements:
        raise WrongValue(f"{name} holds no item", name)
    if spec.is_image:
        return items_of(Body(MULTIPART, [Part(name, PNG, data) for data in elements]), spec, fit, len(elements))
    rows = [row_from_json(data, f"{name}[{place}]") for place, data in enumerate(elements)]
    for place, row in enumerate(rows):
        if row.shape != spec.shape:
            raise WrongValue(f"item {place} must be a JSON list of {spec.shape[0]} numbers", f"{name}[{place}]")
    found = np.stack(rows)
    return found if raw else checked(found, spec, name)


def _numbers(sent: Sent) -> Array:
    if sent.tensor.datatype == BYTES:
        raise WrongValue(f"{sent.tensor.name} must hold numbers, not BYTES", sent.tensor.name)
    return sent.values()
