"""A uvicorn server that says "not ready" before it closes its listeners."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import memory
from service.engine import Engine, State
from service.settings import Settings

_SWITCH = 2e-5
"""Seconds after which a thread must let go of the interpreter when another wants it. The device's thread wants it back
after every kernel, and at Python's 5 ms a busy event loop would hold up each of them."""


class Server(uvicorn.Server):
    """On SIGTERM: readiness 503, the settings' delay while requests are still taken, then close, finish, exit 0.

    SIGINT skips the delay. A second signal gives up what is in flight.
    """

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine
        self._close_at: float | None = None
        self._settled = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        # uvicorn would raise the signal again once it is done, and the process would die of it instead of exiting 0.
        self.force_exit = self._close_at is not None
        self._engine.drain()
        delay = self._engine.settings.drain_delay if sig == signal.SIGTERM and not self.force_exit else 0.0
        self._close_at = time.monotonic() + delay

    async def on_tick(self, counter: int) -> bool:
        if not self._settled and self._engine.state is State.READY:
            memory.settle()
            self._settled = True
        self.should_exit = self._close_at is not None and time.monotonic() >= self._close_at
        return await super().on_tick(counter)


class Door:
    """The outermost layer: counts and times requests, and sends keep-alive clients elsewhere while draining.

    Plain ASGI on purpose: a BaseHTTPMiddleware would hide a client's departure from the handler.
    """

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app, self._engine = app, engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._engine.draining:
                    MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        metrics = self._engine.metrics
        metrics.in_flight.inc()
        try:
            await self._app(scope, receive, note)
        finally:
            metrics.in_flight.dec()
            # The template, not the path: a crawler must not make a time series of every address it tries.
            route = getattr(scope.get("route"), "path", "unknown")
            metrics.requests.labels(route, str(status)).inc()
            metrics.request_seconds.labels(route).observe(time.perf_counter() - began)


def serve(app: ASGIApp, settings: Settings, engine: Engine) -> None:
    """Run until a signal ends it."""
    sys.setswitchinterval(_SWITCH)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=int(settings.deadline) + 1,
    )
    Server(config, engine).run()
