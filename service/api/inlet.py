"""Reads what clients send into memory that is always there.

uvloop makes a bytes object of each piece that arrives, and closes the connection without an answer where there is no
memory for one. A protocol with a buffer of its own needs none, and large bodies are copied once less.
"""

from __future__ import annotations

import asyncio

_SIZE = 256 * 1024
"""Bytes of one piece at most: as many as uvloop reads at once."""


class Inlet(asyncio.BufferedProtocol):
    """Stands between a transport and the protocol of a connection, whose ``data_received`` gets memoryviews.

    Each is valid during the call alone. All connections of an event loop share one ``block``: a piece has been taken
    before the next is read.
    """

    def __init__(self, connection: asyncio.Protocol, block: memoryview) -> None:
        self._connection, self._block = connection, block

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (asyncio's signature)
        return self._block

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.data_received(self._block[:nbytes])  # type: ignore[arg-type]


def new_block() -> memoryview:
    """Memory for the inlets of one event loop."""
    return memoryview(bytearray(_SIZE))
