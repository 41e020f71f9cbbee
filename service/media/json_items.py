"""JSON to arrays. A large body is read item by item: its memory stays bounded, and other threads run in between.

What a body holds is counted before an object is made of it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.media.json_scan import large_list
from service.media.npy import Array
from service.protocol.errors import Malformed, TooLarge, WrongValue

_LARGE = 2**20
"""Bytes of a body from which it is read item by item."""
_NUMBER_BYTES = 128
"""The most bytes that a number of a single item may take, white space included."""


class _Object(msgspec.Struct):
    """The members that are read; others are passed over, and no object is made of them."""

    items: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    latents: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    image: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    mask: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_objects = msgspec.json.Decoder(_Object)


def items_from_json(data: bytes, field: str, most: int, dimensions: int) -> Array:
    """The numbers (N, ...) under ``field``, nested in lists of equal lengths.

    Raises Malformed, also for NaN and Infinity, which JSON does not know; TooLarge for more than ``most`` items, before
    any of them is decoded, and for more text than an item of ``dimensions`` numbers can need.
    """
    if len(data) <= _LARGE:
        return _numbers_in(_member(_parsed(data), field), field)
    items = large_list(data, field, most)
    if any(len(item) > max(_NUMBER_BYTES * dimensions, _LARGE) for item in items):
        raise TooLarge("an item is far longer than one of this model", field)
    parts = [_numbers_in(item, field) for item in items]
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
    if document.mask is msgspec.UNSET:
        if not missing.any():
            raise WrongValue("send a mask, or null where the image is unknown", "mask")
        return array, missing
    hidden = _numbers_in(_member(document, "mask"), "mask").astype(bool)
    if _overlap(missing, ~hidden):
        raise WrongValue("image is null at a place that the mask calls known", "image")
    return array, hidden


def _overlap(missing: NDArray[np.bool_], known: NDArray[np.bool_]) -> bool:
    """Whether a missing entry is known by a mask of the same shape, up to a leading 1, or of all colours of a pixel."""
    if missing.shape == (1, *known.shape) or missing.shape[:-1] == (1, *known.shape):
        missing = missing[0]
    if known.shape == (1, *missing.shape):
        known = known[0]
    if missing.ndim == 3 and missing.shape[:2] == known.shape:
        missing = np.logical_or.reduce(missing, axis=2)
    return missing.shape == known.shape and bool((missing & known).any())


def row_from_json(data: bytes, field: str) -> Array:
    """The numbers of one item, as JSON. Raises Malformed or WrongValue."""
    try:
        found = _decoded(data, field)
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
    found = getattr(document, field)
    if found is msgspec.UNSET:
        raise WrongValue(f"the JSON object lacks {field!r}", field)
    return bytes(found)


def _numbers_in(raw: bytes | memoryview, field: str) -> Array:
    return _numbers(_nested(_decoded(raw, field), field), field)


def _decoded(raw: bytes | memoryview, field: str) -> Any:
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not valid JSON") from error
    if b'"' in bytes(raw):  # numpy would give every element the room of the longest text
        raise WrongValue(f"{field} must hold numbers only", field)
    return found


def _with_gaps(document: _Object) -> tuple[Array, NDArray[np.bool_]]:
    array = _nested(_decoded(_member(document, "image"), "image"), "image")
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
