"""The npy format: arrays to bytes and back, without pickle."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from sluice_client.errors import UnreadableAnswer

Array = npt.NDArray[Any]


def to_npy(array: Array) -> bytes:
    """An array of numbers as the bytes of an .npy file. The numbers are copied once."""
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return b"".join((header.getvalue(), array.data.cast("B") if array.size else b""))


def from_npy(data: bytes) -> Array:
    """The array in the bytes of an .npy file. Raises UnreadableAnswer for anything else, and for pickled objects."""
    try:
        array: Array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, TypeError) as error:
        raise UnreadableAnswer(f"the answer is no npy array: {error}") from error
    return array
