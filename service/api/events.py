"""An inpainting as server-sent events: progress, then the result or the problem that ended it."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from service.api.problems import document_of
from service.api.service import Service
from service.media.completions import completions_of
from service.media.documents import to_json
from service.media.grids import preview
from service.media.pictures import to_png
from service.protocol.client import Stream
from service.protocol.messages import Completed, Snapshot
from tables import Schema

_PATIENCE = 15.0
"""Seconds without news after which a comment keeps proxies from closing the connection."""


class Streamed(EventSourceResponse):
    """Server-sent events that no proxy holds back.

    Each event is made when the client has taken the one before, from the latest snapshot: nothing piles up. A client
    that leaves ends the stream; work that belongs to its request alone is dropped.
    """

    def __init__(
        self, service: Service, stream: Stream, schema: Schema | None = None, notes: Sequence[str] = ()
    ) -> None:
        self._service, self._stream = service, stream
        self._events = _events(service, stream, schema, notes)
        super().__init__(self._events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # A client that leaves while an event is being sent would leave the generator to the garbage collector.
            await self._events.aclose()
            if self._stream.close():
                self._service.metrics.cancelled.labels("client_left").inc()


async def _events(
    service: Service, stream: Stream, schema: Schema | None, notes: Sequence[str]
) -> AsyncGenerator[bytes]:
    """`progress` with step, log_likelihood and a preview of at most 76 KB; at last `result`, or `problem`."""
    async for snapshot in stream.snapshots(_PATIENCE):
        if snapshot is None:
            yield KEEPALIVE_COMMENT
            continue
        size = 0 if snapshot.items is None else snapshot.items.nbytes
        yield _event("progress", await service.compute(partial(_progress, snapshot), size))
    try:
        completed: Completed = await stream.result()
        size = completed.arrays["items"].nbytes
        yield _event("result", await service.compute(lambda: to_json(completions_of(completed, schema, notes)), size))
    except Exception as error:
        yield _event("problem", to_json(document_of(error)))


def _progress(snapshot: Snapshot) -> bytes:
    shown = None
    if snapshot.items is not None:
        picture = base64.b64encode(to_png(preview(snapshot.items))).decode()
        shown = f"data:image/png;base64,{picture}"
    return to_json({"step": snapshot.step, "log_likelihood": snapshot.log_likelihood, "preview": shown})


def _event(name: str, data: bytes) -> bytes:
    return format_sse_event(event=name, data_str=data.decode())
