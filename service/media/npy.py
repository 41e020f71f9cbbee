"""The npy format to arrays and back. Nothing is unpickled, and nothing is allocated on a header's word."""

from __future__ import annotations

import io
import math
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.protocol.errors import Malformed, WrongValue

Array = NDArray[Any]

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MOST_DIMENSIONS = 32
_NESTED = 4096
"""Bytes below which no header nests so deeply that Python's parser tells it as a lack of memory, at 6,000 levels."""
_LARGEST_EXTENT = 2**40
"""Also of all extents but those of 0 multiplied: numpy refuses larger shapes even where they hold nothing."""


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
    except MemoryError as error:
        if stream.tell() < _NESTED:
            raise
        raise Malformed("the npy header nests too deeply") from error
    except Exception as error:  # numpy parses the header as Python and raises what Python's parser raises
        raise Malformed("not a readable npy array") from error
    if header.dtype.kind not in "iufb":
        raise WrongValue("an npy array must hold numbers", "items")
    if len(header.shape) > _MOST_DIMENSIONS:
        raise Malformed(f"the npy header claims {len(header.shape)} dimensions")
    if any(type(extent) is not int or not 0 <= extent <= _LARGEST_EXTENT for extent in header.shape):
        raise Malformed("the npy header claims an impossible extent")
    if math.prod(extent or 1 for extent in header.shape) > _LARGEST_EXTENT:
        raise Malformed("the npy header claims an impossible shape")
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
    """The array of a .npy file, where possible as a read-only view of the data."""
    header, offset = npy_header(data)
    flat = np.frombuffer(data, header.dtype, offset=offset)
    array = flat.reshape(header.shape, order="F" if header.fortran else "C")
    return array.astype(header.dtype.newbyteorder("="), order="C", copy=False)


def to_npy(array: Array) -> bytes:
    """An array as a .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()
