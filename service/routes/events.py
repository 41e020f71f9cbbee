"""An inpainting as server-sent events: progress, then the result or the problem that ended it."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from functools import partial

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from service.arrays import to_json
from service.engine import Engine
from service.errors import problem_of
from service.grid import grid
from service.inpainting import Inpainting
from service.pictures import to_png
from service.progress import Snapshot
from service.routes.completions import document

_PATIENCE = 15.0  # seconds without news after which a comment keeps proxies from closing the connection


async def events(engine: Engine, inpainting: Inpainting) -> AsyncGenerator[bytes]:
    """`progress` with step, log_likelihood and preview; at last `result`, or `problem`.

    Each event is made when the client has taken the one before, from the latest snapshot: nothing piles up.
    """
    progress = inpainting.progress
    assert progress is not None
    step = 0
    while not inpainting.ended or progress.news(step):
        snapshot = await progress.after(step, _PATIENCE)
        if snapshot is not None:
            step = snapshot.step
            yield _event("progress", await engine.compute(partial(_progress, snapshot), _size(snapshot)))
        elif not inpainting.ended:
            yield KEEPALIVE_COMMENT
    try:
        found = await inpainting.completions()
        result = await engine.compute(lambda: to_json(document(inpainting, found)), found["items"].nbytes)
        yield _event("result", result)
    except Exception as error:
        yield _event("problem", to_json(problem_of(error)))


async def own_events(engine: Engine, inpainting: Inpainting) -> AsyncGenerator[bytes]:
    """The same for the client that asked for it: when it leaves, its rows are dropped at the next tick."""
    try:
        async for event in events(engine, inpainting):
            yield event
    finally:
        if inpainting.job.future.cancel():
            engine.metrics.cancelled.labels("client_left").inc()


def _progress(snapshot: Snapshot) -> bytes:
    preview = None
    if snapshot.items is not None:
        picture = base64.b64encode(to_png(grid(snapshot.items.numpy()))).decode()
        preview = f"data:image/png;base64,{picture}"
    return to_json({"step": snapshot.step, "log_likelihood": snapshot.log_likelihood, "preview": preview})


def _size(snapshot: Snapshot) -> int:
    return 0 if snapshot.items is None else snapshot.items.nbytes


def _event(name: str, data: bytes) -> bytes:
    return format_sse_event(event=name, data_str=data.decode())
