"""Requests and answers of the Open Inference Protocol v2: a JSON head, and binary tensors after it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from service.media.documents import to_json
from service.media.npy import Array
from service.media.tensors import binary_of, binary_values, datatype_of, json_values, listed
from service.protocol.errors import Malformed, WrongValue

_LARGEST_EXTENT = 2**40
_MOST_DIMENSIONS = 32
_LONGEST_ID = 2**10
_MOST_SHOWN = 30
"""Names that an error lists."""

_Extent = Annotated[int, Meta(ge=0, le=_LARGEST_EXTENT)]
_Shape = Annotated[list[_Extent], Meta(max_length=_MOST_DIMENSIONS)]
_SHARED = "shared_memory_region"


class InputTensor(Struct):
    """An input as the head names it. Its values stand under ``data``, or follow the head as binary data."""

    name: str
    shape: _Shape
    datatype: str
    parameters: dict[str, Any] = {}
    data: Raw | UnsetType = UNSET

    @property
    def binary_size(self) -> int | None:
        """Bytes of its binary values; None where they stand in the head."""
        size = self.parameters.get("binary_data_size")
        if size is not None and (type(size) is not int or size < 0):
            raise Malformed(f"{self.name[:40]}: binary_data_size must be a whole number", self.name[:40])
        return size


class OutputTensor(Struct):
    """An output that the client asks for."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(Struct):
    """The JSON head of a request."""

    inputs: list[InputTensor] = []
    outputs: list[OutputTensor] = []
    id: Annotated[str, Meta(max_length=_LONGEST_ID)] = ""
    parameters: dict[str, Any] = {}


class Sent(NamedTuple):
    """An input with the bytes of its values, which are not decoded yet."""

    tensor: InputTensor
    data: memoryview | None
    """Binary values; None where the tensor's own ``data`` holds them."""

    @property
    def shape(self) -> list[int]:
        return self.tensor.shape

    def values(self) -> Array:
        """Raises Malformed or WrongValue; the problem's field is the input's name."""
        tensor, field = self.tensor, self.tensor.name
        if self.data is not None:
            return binary_values(self.data, tensor.datatype, tensor.shape, field)
        assert isinstance(tensor.data, Raw)
        return json_values(memoryview(tensor.data), tensor.datatype, tensor.shape, field)


class Wanted(NamedTuple):
    """An output of an answer: its name, its values, and whether they are sent as binary data."""

    name: str
    values: Array
    binary: bool
    datatype: str | None = None
    """The datatype of the values where numpy has none for it: BF16, whose values are bits in uint16."""


_decoder = msgspec.json.Decoder(InferRequest)
_PLACE = re.compile(r" - at `\$\.?([^`]*)`")


def read_head(body: bytes, head_length: str | None) -> tuple[InferRequest, memoryview]:
    """The head of a body, and what follows it. Without a length the body is a head alone.

    Raises Malformed where it is no JSON, or shorter than its length, and WrongValue where it is another document.
    """
    whole = memoryview(body)
    length = len(whole)
    if head_length is not None:
        if not head_length.isascii() or not head_length.isdigit() or len(head_length) > 19:
            raise Malformed("Inference-Header-Content-Length must be a whole number", "Inference-Header-Content-Length")
        length = int(head_length)
        if length > len(whole):
            raise Malformed(
                f"Inference-Header-Content-Length is {length}; the body holds {len(whole)} bytes",
                "Inference-Header-Content-Length",
            )
    try:
        return _decoder.decode(whole[:length]), whole[length:]
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        raise WrongValue(str(error), place[1][:80] if place and place[1] else None) from error
    except (ValueError, RecursionError) as error:
        raise Malformed("the JSON head of the body is not valid JSON") from error


def inputs_of(request: InferRequest, binary: memoryview, known: Collection[str]) -> dict[str, Sent]:
    """The inputs by name, each with its bytes.

    Raises WrongValue for an input that comes twice or has no values, and Malformed for one that is not ``known`` and
    where the sizes do not add up to the bytes that follow the head.
    """
    found: dict[str, Sent] = {}
    place = 0
    for tensor in request.inputs:
        name, size = tensor.name, tensor.binary_size
        if name not in known:
            raise Malformed(f"there is no input {name[:40]!r}; the inputs are {_listed(known)}", name[:40])
        if name in found:
            raise WrongValue(f"the input {name} is sent twice", name)
        if _SHARED in tensor.parameters:
            raise WrongValue(f"{name}: shared memory is not supported", name)
        if (size is None) == (tensor.data is UNSET):
            raise WrongValue(f"{name}: send either data or binary_data_size", name)
        found[name] = Sent(tensor, None if size is None else binary[place : place + size])
        place += size or 0
    if place != len(binary):
        raise Malformed(f"the inputs claim {place} bytes of binary data; {len(binary)} follow the head", "inputs")
    return found


def outputs_of(request: InferRequest, known: Collection[str], default: Sequence[str]) -> dict[str, bool]:
    """Names of the outputs to send, and whether each is sent as binary data; ``default`` where none is chosen.

    Raises WrongValue for an output that is not ``known``, comes twice, or is to be sent in a way that is not supported.
    """
    always = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return dict.fromkeys(default, always)
    found: dict[str, bool] = {}
    for output in request.outputs:
        if output.name not in known:
            raise WrongValue(f"there is no output {output.name[:40]!r}; the outputs are {_listed(known)}", "outputs")
        if output.name in found:
            raise WrongValue(f"the output {output.name} is asked for twice", "outputs")
        for parameter in (_SHARED, "classification"):
            if output.parameters.get(parameter):
                raise WrongValue(f"{output.name}: {parameter} is not supported", "outputs")
        found[output.name] = output.parameters.get("binary_data", always) is True
    return found


def answer_body(model: str, version: str, request_id: str, outputs: Sequence[Wanted]) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON head where binary data follows it."""
    head: dict[str, Any] = {"model_name": model, "model_version": version}
    if request_id:
        head["id"] = request_id
    head["outputs"] = tensors = []
    binary: list[bytes] = []
    for name, values, is_binary, datatype in outputs:
        tensor: dict[str, Any] = {"name": name, "datatype": datatype or datatype_of(values), "shape": values.shape}
        if is_binary:
            binary.append(binary_of(values))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = listed(values)
        tensors.append(tensor)
    text = to_json(head)
    return (b"".join((text, *binary)), len(text)) if binary else (text, None)


def _listed(names: Iterable[str]) -> str:
    """Names for people; a table may have thousands of columns."""
    shown = [name[:40] for name in names]
    return ", ".join(shown[:_MOST_SHOWN]) + (
        f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    )
