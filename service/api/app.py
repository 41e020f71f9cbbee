"""The application: operations, described by FastAPI, in front of a device client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems, schemas
from service.api.operations import OperationRoute
from service.api.routes import health, inpaint, inpaint_tasks, latents, models, repository, sample, score
from service.api.routes.v2 import infer
from service.api.routes.v2 import models as v2_models
from service.api.routes.v2 import server as v2_server
from service.api.service import Service
from service.keys import Key
from service.protocol.client import DeviceClient
from service.protocol.errors import Forbidden, KeyLimit, NotAuthenticated
from service.settings import Settings

OPERATIONS: tuple[OperationRoute, ...] = (
    score.score,
    sample.sample,
    inpaint.inpaint,
    inpaint_tasks.put,
    inpaint_tasks.get,
    inpaint_tasks.stop,
    latents.encode,
    latents.decode,
    *infer.INFER,
)


def create_app(settings: Settings | None = None, device: DeviceClient | None = None) -> FastAPI:
    """A service over the settings' store; without settings, over those of the environment.

    Without a client of a device that runs already, the application starts a device process of its own and watches over
    it, so that any ASGI server can run it alone.
    """
    settings = settings or Settings()
    service = Service(settings, device or _own_device(settings))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="Sluice",
        version=version("sluice"),
        summary="Samples, likelihoods and inpainting from trained normalizing flows",
        lifespan=lifespan,
    )
    app.state.service = service
    problems.install(app)
    schemas.install(app)
    app.add_middleware(Door, service=service)
    app.router.routes.extend(OPERATIONS)
    for module in (models, repository, health, v2_server, v2_models):
        app.include_router(module.router)
    return app


def _own_device(settings: Settings) -> DeviceClient:
    from service.keeper import OwnDevice

    return OwnDevice(settings)


class Door:
    """The outermost layer: counts and times requests, and sends keep-alive clients elsewhere while draining.

    What has no parameter in its path goes straight to its operation, and so does an inference. Plain ASGI on purpose:
    a BaseHTTPMiddleware would hide a client's departure from the handler.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._operations = {
            (route.operation.method, route.operation.path): route for route in OPERATIONS if "{" not in route.path
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()
        key: Key | None = None

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._service.draining:
                    MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        metrics = self._service.metrics
        metrics.in_flight.inc()
        direct = self._operations.get((scope["method"], scope["path"])) or infer.direct(scope)
        if direct is not None:
            scope["route"] = direct
        try:
            if self._service.authority is not None:
                key = await self._service.authority.admitted(scope)
            if direct is not None:
                await direct.operation(scope, receive, note)
            else:
                await self._app(scope, receive, note)
        except (NotAuthenticated, Forbidden, KeyLimit) as problem:
            await problems.problem_answer(problem)(scope, receive, note)
        finally:
            if key is not None and self._service.authority is not None:
                self._service.authority.leave(key)
                metrics.of_keys.labels(key.name, str(status)).inc()
            metrics.in_flight.dec()
            # The template, not the path: a crawler must not make a time series of every address it tries.
            route = getattr(scope.get("route"), "path", "unknown")
            metrics.answered(route, status, time.perf_counter() - began)
