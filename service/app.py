"""The application: an engine behind routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from service import errors
from service.engine import Engine
from service.routes import health, inpaint, inpaint_tasks, latents, models, repository, sample, score
from service.routes.express import Express
from service.server import Door
from service.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """A service over the settings' store; without settings, over those of the environment."""
    engine = Engine(settings or Settings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        yield
        await engine.stop()

    app = FastAPI(
        title="Sluice",
        version=version("sluice"),
        summary="Samples, likelihoods and inpainting from trained normalizing flows",
        lifespan=lifespan,
    )
    app.state.engine = engine
    errors.install(app)
    app.add_middleware(Express, engine=engine)
    app.add_middleware(Door, engine=engine)  # the outermost
    for module in (sample, score, inpaint, inpaint_tasks, latents, models, repository, health):
        app.include_router(module.router)
    return app
