"""Probes for an orchestrator, and metrics for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from service.engine import State
from service.errors import problem_response
from service.routes.common import TheEngine, problems

router = APIRouter(tags=["operation"])


@router.get("/health/live", responses=problems(503))
async def live(engine: TheEngine) -> Response:
    """200 while the thread that owns the device runs; 503 asks for a restart."""
    if engine.state is State.FAILED:
        return problem_response(503, "the device thread has died")
    return JSONResponse({"state": engine.state.value})


@router.get("/health/ready", responses=problems(503))
async def ready(engine: TheEngine) -> Response:
    """200 while at least one model is served; 503 while starting or draining."""
    state = engine.state
    if state is State.READY:
        return JSONResponse({"state": state.value})
    return problem_response(503, engine.registry.unready() or f"the service is {state.value}")


@router.get("/metrics", response_class=Response)
async def metrics(engine: TheEngine) -> Response:
    """Prometheus text exposition."""
    return Response(engine.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
