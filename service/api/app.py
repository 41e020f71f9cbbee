"""The application: operations, described by FastAPI, in front of a device client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from service.api import problems, schemas
from service.api.door import Door
from service.api.operations import OperationRoute
from service.api.routes import (
    docs,
    drift,
    health,
    inpaint,
    inpaint_tasks,
    latents,
    models,
    page,
    repository,
    sample,
    score,
)
from service.api.routes.v2 import infer
from service.api.routes.v2 import models as v2_models
from service.api.routes.v2 import server as v2_server
from service.api.service import Service
from service.protocol.devices import Devices
from service.settings import Settings
from service.version import own_version

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


class Application(FastAPI):
    """FastAPI, in front of which frequent requests go straight to their operations.

    FastAPI's own layers would each look at them, find nothing to do, and take a tenth of an api process's time.
    """

    front: Door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.front.direct(scope) is not None:
            scope["app"] = self
            await self.front(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings | None = None, device: Devices | None = None) -> FastAPI:
    """A service over the settings' store; without settings, over those of the environment.

    Without a client of devices that run already, the application starts device processes of its own and watches over
    them, so that any ASGI server can run it alone. Raises NoSuchDevice when one that the settings name is not there.
    """
    settings = settings or Settings()
    service = Service(settings, device or _own_devices(settings))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = Application(
        title="Sluice",
        version=own_version(),
        summary="Samples, likelihoods and inpainting from trained normalizing flows",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load their scripts from another host
        redoc_url=None,
    )
    app.state.service = service
    problems.install(app)
    schemas.install(app, asks_for_keys=service.authority is not None)
    app.add_middleware(Door, service=service, operations=OPERATIONS)
    app.front = Door(app, service, OPERATIONS)
    app.router.routes.extend(OPERATIONS)
    for module in (models, drift, repository, health, docs, page, v2_server, v2_models):
        app.include_router(module.router)
    return app


def _own_devices(settings: Settings) -> Devices:
    from service.own_devices import OwnDevices

    settings.admin_token()  # one that cannot be used is told at the start
    return OwnDevices(settings)
