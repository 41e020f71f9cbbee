"""Probes for an orchestrator, and metrics for Prometheus."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from service.api.answers import Answer
from service.api.dependencies import TheService
from service.api.operations import problems
from service.api.problems import problem_answer
from service.api.service import Service, State
from service.protocol.client import RESTART_RETRY_AFTER, device_lost
from service.protocol.errors import Problem, Unavailable
from service.protocol.messages import Stats, Told

router = APIRouter(tags=["operation"])

_PATIENCE = 5.0
"""Seconds that the metrics of the devices may take; beside a long tick they come after it."""
_NEWS = 0.5
"""Seconds that readiness waits for the devices while it knows of no model: an api process that was started again beside
others must not say that the service is not ready. Less than the second after which orchestrators give up."""


@router.get("/health/live", responses=problems(503))
async def live(service: TheService) -> Response:
    """200 while a device process runs; 503 when the last one has died, until it is started again."""
    if service.state is State.FAILED:
        return problem_answer(device_lost())
    return JSONResponse({"state": service.state.value})


@router.get("/health/ready", responses=problems(503))
async def ready(service: TheService) -> Response:
    """200 while at least one model is served; 503 while starting or draining."""
    if service.state is State.STARTING:
        await service.catch_up(_NEWS)
    state = service.state
    if state is State.READY:
        return JSONResponse({"state": state.value})
    detail = service.device.catalogue.unready() if state is not State.DRAINING else None
    wait = None if state is State.DRAINING else RESTART_RETRY_AFTER
    return problem_answer(Unavailable(detail or f"the service is {state.value}", retry_after=wait))


@router.get("/metrics", response_class=Response)
async def metrics(service: TheService) -> Response:
    """Prometheus text exposition: the counts of the api processes, then those of the devices.

    Where there are several devices, the label `device` tells their series apart; where there are several replicas, the
    label `replica`.
    """
    content = await exposition_of(service)
    if service.gathered is not None:
        content = await service.gathered(content)
    return Answer(content, CONTENT_TYPE_LATEST)


async def exposition_of(service: Service) -> bytes:
    """The metrics of one service: of its api processes and its devices."""
    ready = b"# HELP sluice_ready 1 while ready\n# TYPE sluice_ready gauge\nsluice_ready %.1f\n" % (
        service.state is State.READY
    )
    return ready + _up(service) + service.metrics.exposition() + await of_devices(service)


def _up(service: Service) -> bytes:
    head = "# HELP sluice_device_up 1 while the device process answers\n# TYPE sluice_device_up gauge\n"
    return (
        head + "".join(f'sluice_device_up{{device="{name}"}} {up:.1f}\n' for name, up in service.device.up.items())
    ).encode()


async def of_devices(service: Service) -> bytes:
    """Nothing while no device answers: its absence is then what the metrics tell."""
    if not any(service.device.up.values()):
        return b""
    try:
        async with asyncio.timeout(_PATIENCE):
            told: Told = await service.device.ask(lambda number: Stats(number))
            return told.data
    except (TimeoutError, Problem):
        return b""
