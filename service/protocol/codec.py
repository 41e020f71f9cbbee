"""Messages to frames and back: msgpack, with large arrays as frames of their own that nobody copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, get_origin

import numpy as np
from msgspec import msgpack

from service.protocol.messages import Down, Up

INLINE = 16 * 1024
"""Bytes up to which an array travels inside the msgpack frame: a frame of its own costs more than such a copy."""

M = TypeVar("M")
Frame = bytes | memoryview


class Codec(Generic[M]):
    """Encodes lists of messages and decodes lists of ``incoming`` messages. Belongs to one thread."""

    def __init__(self, incoming: Any) -> None:
        self._decoder: msgpack.Decoder[list[M]] = msgpack.Decoder(list[incoming], dec_hook=self._array_of)
        self._encoder = msgpack.Encoder(enc_hook=self._plain)
        self._outgoing: list[Frame] = []
        self._frames: Sequence[Any] = ()

    def encode(self, messages: Sequence[Any]) -> list[Frame]:
        """The msgpack frame, then one frame for each large array."""
        self._outgoing = []
        head = self._encoder.encode(messages)
        return [head, *self._outgoing]

    def decode(self, frames: Sequence[Any]) -> list[M]:
        """Arrays are read-only views of the frames. Raises msgspec.MsgspecError or ValueError for foreign bytes."""
        self._frames = frames
        try:
            return self._decoder.decode(frames[0])
        finally:
            self._frames = ()

    def _plain(self, array: Any) -> tuple[str, tuple[int, ...], bytes | int]:
        if not isinstance(array, np.ndarray):
            raise NotImplementedError(f"no message holds a {type(array).__name__}")
        if array.nbytes <= INLINE:
            return array.dtype.str, array.shape, array.tobytes()
        self._outgoing.append(np.ascontiguousarray(array).data)
        return array.dtype.str, array.shape, len(self._outgoing)

    def _array_of(self, kind: Any, plain: Any) -> np.ndarray[Any, Any]:
        if get_origin(kind) is not np.ndarray:
            raise NotImplementedError(f"no message holds a {kind}")
        dtype, shape, data = plain
        flat = np.frombuffer(self._frames[data] if isinstance(data, int) else data, np.dtype(dtype))
        return flat.reshape(shape)


def of_api() -> Codec[Down]:
    """The codec of an api process."""
    return Codec(Down)


def of_device() -> Codec[Up]:
    """The codec of the device process."""
    return Codec(Up)
