"""Tensors of the Open Inference Protocol v2 to arrays and back: its datatypes, binary values, values in JSON.

Nothing is allocated on a shape's word: the values that are there decide, and a shape that claims others is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.media.npy import Array
from service.protocol.errors import Malformed, WrongValue

BOOL, BF16, BYTES = "BOOL", "BF16", "BYTES"
NUMPY: dict[str, np.dtype[Any]] = {
    BOOL: np.dtype(bool),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""The datatypes whose values numpy holds as they are sent."""
DATATYPES = {dtype: name for name, dtype in NUMPY.items()}
_NAN = 0x7FC0
"""A NaN of BF16: rounding the bits of one could give infinity."""
_LENGTH = 4
"""Bytes in front of each element of a BYTES tensor: its length, little endian."""


def binary_values(data: memoryview, datatype: str, shape: Sequence[int], field: str) -> Array:
    """Values as they lie in a body, where possible as a read-only view of it; BF16 becomes float32, BYTES objects.

    Raises Malformed where the bytes are not those of this shape, WrongValue for an unknown datatype.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        return _objects(_elements(data, field), count, shape, field)
    dtype = np.dtype("<u2") if datatype == BF16 else _dtype(datatype, field)
    if count * dtype.itemsize != len(data):
        raise Malformed(
            f"{field}: {datatype} of shape {list(shape)} takes {count * dtype.itemsize} bytes; "
            f"binary_data_size says {len(data)}",
            field,
        )
    if datatype == BF16:  # the upper half of a float32
        widened: Array = np.frombuffer(data, dtype).astype(np.uint32) << 16
        return _shaped(widened.view(np.float32), shape, field)
    if datatype == BOOL:  # a byte may hold more than 0 and 1
        return _shaped(np.not_equal(np.frombuffer(data, np.uint8), 0), shape, field)
    return _shaped(np.frombuffer(data, dtype), shape, field)


def json_values(raw: bytes | memoryview, datatype: str, shape: Sequence[int], field: str) -> Array:
    """Values from JSON: one list in row-major order, or lists nested as the shape says.

    Raises Malformed for other than ``shape`` values, WrongValue for values that are not of the datatype.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        return _objects([_encoded(text, field) for text in _flat(_decoded(raw, field))], count, shape, field)
    if datatype == BF16:
        raise WrongValue(f"{field}: BF16 has no form in JSON; send it as binary data", field)
    dtype = _dtype(datatype, field)
    # Lists of numbers have one comma less than numbers, however they are nested: counted before they are decoded.
    if bytes(raw).count(b",") + 1 != max(count, 1):
        raise Malformed(f"{field}: data does not hold the {count} values that shape {list(shape)} asks for", field)
    nested = _decoded(raw, field)
    try:
        # numpy takes small and very large whole numbers together for floats, which would round them.
        is_exact = dtype == np.uint64 and all(type(value) is int and 0 <= value < 2**64 for value in _flat(nested))
        found = np.asarray(nested, np.uint64 if is_exact else None)
    except (ValueError, OverflowError) as error:
        raise WrongValue(f"{field}: data must be lists of equal lengths", field) from error
    if found.shape not in (tuple(shape), (count,)):
        raise Malformed(f"{field}: data is nested as {list(found.shape)}, and shape says {list(shape)}", field)
    return _shaped(_cast(found, dtype, datatype, field), shape, field)


def binary_of(array: Array) -> bytes:
    """The values of an array as a binary tensor."""
    if array.dtype.kind == "O":
        return b"".join(len(text).to_bytes(_LENGTH, "little") + text for text in array.ravel())
    return np.ascontiguousarray(array).tobytes()


def bfloat16_of(array: Array) -> NDArray[np.uint16]:
    """The bits of floats as BF16, rounded to the nearest, ties to even; what float32 cannot hold is infinite."""
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(array, dtype="<f4")
    bits = floats.view(np.uint32)
    rounded: NDArray[np.uint16] = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(floats), np.uint16(_NAN), rounded)


def listed(array: Array) -> list[Any]:
    """The values of an array as one list for JSON, in row-major order."""
    if array.dtype.kind == "O":
        return [text.decode("utf-8", "replace") for text in array.ravel()]
    found: list[Any] = array.ravel().tolist()
    return found


def datatype_of(array: Array) -> str:
    """The datatype that an array is sent as."""
    return BYTES if array.dtype.kind == "O" else DATATYPES[array.dtype.newbyteorder("<")]


def _dtype(datatype: str, field: str) -> np.dtype[Any]:
    if datatype not in NUMPY:
        raise WrongValue(f"{field}: there is no datatype {datatype[:40]!r}", field)
    return NUMPY[datatype]


def _cast(found: Array, dtype: np.dtype[Any], datatype: str, field: str) -> Array:
    """Values of JSON as the datatype that the client claims, if they are of it."""
    if not found.size:
        return found.astype(dtype)
    allowed = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}[dtype.kind]
    if found.dtype.kind not in allowed:
        raise WrongValue(f"{field}: data must hold values of {datatype}", field)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        if int(found.min()) < limits.min or int(found.max()) > limits.max:
            raise WrongValue(f"{field}: data holds a number beyond {datatype}", field)
    with np.errstate(over="ignore"):
        return found.astype(dtype)


def _decoded(raw: bytes | memoryview, field: str) -> Any:
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{field}: data is not valid JSON", field) from error
    if not isinstance(found, list):
        raise WrongValue(f"{field}: data must be a list", field)
    return found


def _flat(nested: list[Any]) -> list[Any]:
    while any(isinstance(entry, list) for entry in nested):
        nested = [entry for inner in nested for entry in (inner if isinstance(inner, list) else [inner])]
    return nested


def _encoded(text: Any, field: str) -> bytes:
    if not isinstance(text, str):
        raise WrongValue(f"{field}: data of BYTES must hold text", field)
    return text.encode()


def _elements(data: memoryview, field: str) -> list[bytes]:
    found, place = [], 0
    while place < len(data):
        start = place + _LENGTH
        place = start + int.from_bytes(data[place:start], "little")
        if place > len(data):
            raise Malformed(f"{field}: an element claims more bytes than there are", field)
        found.append(bytes(data[start:place]))
    return found


def _objects(elements: list[bytes], count: int, shape: Sequence[int], field: str) -> Array:
    if len(elements) != count:
        raise Malformed(f"{field}: there are {len(elements)} elements, and shape {list(shape)} asks for {count}", field)
    array = np.empty(count, dtype=object)
    array[:] = elements
    return _shaped(array, shape, field)


def _shaped(array: Array, shape: Sequence[int], field: str) -> Array:
    try:
        return array.reshape(shape)
    except ValueError as error:  # no value at all, and other extents that numpy cannot multiply
        raise Malformed(f"{field}: there is no tensor of shape {list(shape)}", field) from error
