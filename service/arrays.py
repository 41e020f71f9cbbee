"""Arrays from outside (npy, JSON) and back. Nothing is unpickled, nothing is allocated on a header's word."""

from __future__ import annotations

import io
import math
from typing import IO, Any, NamedTuple

import numpy as np
import pydantic_core
from numpy.typing import NDArray

from service.errors import Malformed, WrongValue

Array = NDArray[Any]

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Header(NamedTuple):
    """What an npy array says of itself before its numbers come."""

    shape: tuple[int, ...]
    fortran: bool
    """Whether the first index runs fastest."""
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes]) -> Header:
    """The header of an npy array; the stream then stands at the numbers.

    Raises Malformed when it is none, WrongValue when the array holds anything but numbers.
    """
    try:
        header = Header(*_HEADERS[np.lib.format.read_magic(stream)](stream))
    except Exception as error:  # numpy parses the header as Python and raises what Python's parser raises
        raise Malformed("not a readable npy array") from error
    if header.dtype.kind not in "iufb":
        raise WrongValue("an npy array must hold numbers", "items")
    if min(header.shape, default=0) < 0:
        raise Malformed("the npy header claims a negative extent")
    return header


def npy_header(data: bytes) -> tuple[Header, int]:
    """A header and the offset of the numbers. Raises Malformed too unless the body holds exactly what it claims."""
    stream = io.BytesIO(data)
    header = read_header(stream)
    held = len(data) - stream.tell()
    if header.nbytes != held:
        raise Malformed(f"the npy header claims {header.nbytes} bytes of numbers; the body holds {held}")
    return header, stream.tell()


def from_npy(data: bytes) -> Array:
    """The array of a .npy file, where possible as a view of the data, not to be written to."""
    header, offset = npy_header(data)
    flat = np.frombuffer(data, header.dtype, offset=offset)
    array = flat.reshape(header.shape, order="F" if header.fortran else "C")
    return array.astype(header.dtype.newbyteorder("="), order="C", copy=False)


def to_npy(array: Array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def parse_json(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises Malformed, for NaN and Infinity too: they are not JSON."""
    try:
        found = pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise Malformed("the body is not valid JSON") from error
    if not isinstance(found, dict):
        raise WrongValue("the body must be a JSON object")
    return found


def from_json(document: dict[str, Any], field: str) -> Array:
    """The numbers, nested in lists of equal lengths, that a document holds under ``field``."""
    return _numbers(_lists(document, field), field)


def from_json_with_gaps(document: dict[str, Any], field: str) -> tuple[Array, NDArray[np.bool_]]:
    """The same where some numbers are null: 0 in their places, and which those are."""
    array = _lists(document, field)
    if array.dtype.kind != "O":
        return _numbers(array, field), np.zeros(array.shape, dtype=bool)
    missing = np.array([number is None for number in array.flat], dtype=bool).reshape(array.shape)
    # Whole numbers stay whole beside a gap: they are levels, and fractions are something else.
    return _numbers(np.asarray(np.where(missing, 0, array).tolist()), field), missing


def _lists(document: dict[str, Any], field: str) -> Array:
    if field not in document:
        raise WrongValue(f"the JSON object lacks {field!r}", field)
    try:
        return np.asarray(document[field])
    except (ValueError, OverflowError) as error:
        raise WrongValue(f"{field} must be lists of equal lengths", field) from error


def _numbers(array: Array, field: str) -> Array:
    if array.dtype.kind not in "iufb":
        raise WrongValue(f"{field} must hold numbers only", field)
    return array


def to_json(document: Any) -> bytes:
    """Compact JSON; a number that is not finite becomes null, since JSON has no word for it."""
    return pydantic_core.to_json(document, inf_nan_mode="null")
