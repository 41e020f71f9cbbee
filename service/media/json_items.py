"""JSON to arrays. A large body is read item by item: its memory stays bounded, and other threads run in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.media.npy import Array
from service.protocol.errors import Malformed, TooLarge, WrongValue

_LARGE = 2**20
"""Bytes of a body from which it is read item by item."""
_BLOCK = 2**18
_NUMBER_BYTES = 128
"""The most bytes that a number of a single item may take, white space included."""

_Object = dict[str, msgspec.Raw]
_objects = msgspec.json.Decoder(_Object)
_lists = msgspec.json.Decoder(list[msgspec.Raw])


def items_from_json(data: bytes, field: str, most: int, dimensions: int) -> Array:
    """The numbers (N, ...) under ``field``, nested in lists of equal lengths.

    Raises Malformed, also for NaN and Infinity, which JSON does not know; TooLarge for more than ``most`` items, before
    any of them is decoded, and for more text than an item of ``dimensions`` numbers can need.
    """
    raw = _member(_parsed(data), field)
    if len(raw) <= _LARGE:
        return _numbers(_nested(_decoded(raw), field), field)
    count = _count(memoryview(raw))
    if count > most:
        raise TooLarge(f"at most {most} items are taken in one request", "items")
    items = list(map(bytes, _elements(raw, field)))
    if any(len(item) > max(_NUMBER_BYTES * dimensions, _LARGE) for item in items):
        raise TooLarge("an item is far longer than one of this model", field)
    parts = [_numbers(_nested(_decoded(item), field), field) for item in items]
    if not parts:
        return np.empty(0)
    if any(part.shape != parts[0].shape for part in parts):
        raise WrongValue(f"{field} must be lists of equal lengths", field)
    return np.stack(parts)


def item_from_json(data: bytes, shape: tuple[int, ...]) -> tuple[Array, NDArray[np.bool_]]:
    """One item under `image` and where it is hidden: by `mask` (anything but 0), or by null in the image.

    Null leaves a 0 in its place. Raises Malformed, WrongValue, or TooLarge for more text than an item can need.
    """
    dimensions = int(np.prod(shape, dtype=np.int64))
    if len(data) > _LARGE and len(data) > 2 * _NUMBER_BYTES * dimensions:
        raise TooLarge("the body is far longer than one item of this model", "image")
    document = _parsed(data)
    array, missing = _with_gaps(document)
    if "mask" not in document:
        if not missing.any():
            raise WrongValue("send a mask, or null where the image is unknown", "mask")
        return array, missing
    hidden = _numbers(_nested(_decoded(_member(document, "mask")), "mask"), "mask").astype(bool)
    if hidden.shape == missing.shape and (missing & ~hidden).any():
        raise WrongValue("image is null at a place that the mask calls known", "image")
    return array, hidden


def row_from_json(data: bytes, field: str) -> Array:
    """The numbers of one item, as JSON. Raises Malformed or WrongValue."""
    try:
        found = _decoded(data)
    except Malformed as error:
        raise Malformed(f"{field} is not valid JSON", field) from error
    return _numbers(_nested(found, field), field)


def _parsed(data: bytes) -> _Object:
    """The members of a JSON object, checked and not yet decoded."""
    try:
        return _objects.decode(data)
    except msgspec.ValidationError as error:
        raise WrongValue("the body must be a JSON object") from error
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not valid JSON") from error


def _member(document: _Object, field: str) -> bytes:
    if field not in document:
        raise WrongValue(f"the JSON object lacks {field!r}", field)
    return bytes(document[field])


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not valid JSON") from error


def _with_gaps(document: _Object) -> tuple[Array, NDArray[np.bool_]]:
    array = _nested(_decoded(_member(document, "image")), "image")
    if array.dtype.kind != "O":
        return _numbers(array, "image"), np.zeros(array.shape, dtype=bool)
    missing = np.array([number is None for number in array.flat], dtype=bool).reshape(array.shape)
    # Whole numbers stay whole beside a gap: they are levels, and fractions are something else.
    return _numbers(np.asarray(np.where(missing, 0, array).tolist()), "image"), missing


def _nested(found: Any, field: str) -> Array:
    try:
        return np.asarray(found)
    except (ValueError, OverflowError) as error:
        raise WrongValue(f"{field} must be lists of equal lengths", field) from error


def _numbers(array: Array, field: str) -> Array:
    if array.dtype.kind not in "iufb":
        raise WrongValue(f"{field} must hold numbers only", field)
    return array


def _count(raw: memoryview) -> int:
    """Elements of a JSON list of lists, counted without decoding: commas at depth one, and one more.

    Text within strings is counted too; an honest body of numbers has none.
    """
    text = np.frombuffer(raw, np.uint8)
    commas, depth = 0, 0
    for start in range(0, len(text), _BLOCK):
        block = text[start : start + _BLOCK]
        steps = (block == ord("[")).astype(np.int8) - (block == ord("]")).astype(np.int8)
        depths = np.cumsum(steps, dtype=np.int32) + depth
        commas += int(((block == ord(",")) & (depths == 1)).sum())
        depth = int(depths[-1])
    return commas + 1


def _elements(raw: bytes, field: str) -> Iterator[msgspec.Raw]:
    try:
        yield from _lists.decode(raw)
    except msgspec.ValidationError as error:
        raise WrongValue(f"{field} must be a list", field) from error
