"""What surrounds every computing request: a bounded body, a deadline, and an eye on the client.

FastAPI does not stop a handler whose client has left, so the route does: it cancels the handler, which cancels the
job, and the scheduler drops its rows at the next tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Message

from service.errors import DeadlinePassed, Rejected, TooLarge

CLIENT_LEFT = 499
"""Nobody reads this status but the log and the metrics."""

_AT_ONCE = 0.02
"""Seconds within which nobody looks whether the client is still there."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class WatchedRoute(APIRoute):
    """A route whose handler is ``watched``."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def seen(request: Request) -> Response:
            return await watched(handler, request)

        return seen


async def watched(handler: Handler, request: Request) -> Response:
    """The handler's answer; it ends when the client leaves or the deadline passes.

    A handler may move the deadline: it is ``request.state.timeout``.
    """
    settings, metrics = request.app.state.engine.settings, request.app.state.engine.metrics
    body = _BoundedBody(request, settings.max_body_bytes)
    timeout = asyncio.timeout(settings.deadline)
    request.state.timeout = timeout
    watch = _Watch(body, timeout)
    try:
        return await _ended(handler(Request(request.scope, body.receive)), timeout, body)
    except _ClientLeft:
        metrics.cancelled.labels("client_left").inc()
        return Response(status_code=CLIENT_LEFT)
    except DeadlinePassed:
        metrics.cancelled.labels("deadline").inc()
        raise
    except Rejected as refusal:
        metrics.rejected.labels(refusal.reason).inc()
        raise
    finally:
        watch.end()


class _ClientLeft(Exception):
    """Nobody waits for the answer any more."""


async def _ended(handling: Coroutine[Any, Any, Response], timeout: asyncio.Timeout, body: _BoundedBody) -> Response:
    """The handler's answer. Raises _ClientLeft, or DeadlinePassed, when one of them ended it."""
    try:
        async with timeout:
            return await handling
    except ClientDisconnect:
        raise _ClientLeft from None
    except TimeoutError:
        if body.client_has_left:
            raise _ClientLeft from None
        if timeout.expired():
            raise DeadlinePassed from None
        raise


class _Watch:
    """Ends a handler whose client has left. It begins late: most handlers are done before it pays to have a task."""

    def __init__(self, body: _BoundedBody, timeout: asyncio.Timeout) -> None:
        self._body, self._timeout = body, timeout
        self._task: asyncio.Task[None] | None = None
        self._soon = asyncio.get_running_loop().call_later(_AT_ONCE, self._begin)

    def end(self) -> None:
        self._soon.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        await self._body.client_left()
        self._timeout.reschedule(asyncio.get_running_loop().time())


class _BoundedBody:
    """Passes the request's messages on while they carry the body, and looks for the client's departure after it."""

    def __init__(self, request: Request, limit: int) -> None:
        self._request, self._limit = request, limit
        self._length, self._whole = 0, asyncio.Event()
        self.client_has_left = False

    async def receive(self) -> Message:
        announced = self._request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._limit:
            raise self._refusal()
        message = await self._request.receive()
        self._length += len(message.get("body", b""))
        if self._length > self._limit:
            raise self._refusal()
        if not message.get("more_body", False):
            self._whole.set()
        return message

    async def client_left(self) -> None:
        await self._whole.wait()
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.client_has_left = True

    def _refusal(self) -> TooLarge:
        return TooLarge(f"a body may hold {self._limit} bytes", "body")
