"""GET /v2 and /v2/health: what the server is, and whether it lives and is ready."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Response

from service.api.answers import Answer
from service.api.dependencies import TheService
from service.api.operations import problems
from service.api.routes import health
from service.api.schemas import answered
from service.api.v2.documents import ServerMetadata
from service.media.documents import to_json
from service.media.types import JSON

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]

router = APIRouter(prefix="/v2", tags=["open inference protocol"])


@router.get("/health/live", responses=problems(503), response_class=Response)
async def server_live(service: TheService) -> Response:
    """200 while the device process runs, as `/health/live`."""
    return await health.live(service)


@router.get("/health/ready", responses=problems(503), response_class=Response)
async def server_ready(service: TheService) -> Response:
    """200 while at least one model is served, as `/health/ready`."""
    return await health.ready(service)


@router.get("", responses={200: answered(ServerMetadata)}, response_class=Response)
@router.get("/", include_in_schema=False)
async def server_metadata() -> Response:
    """The server's name, version, and the extensions of the protocol that it speaks."""
    return Answer(to_json(ServerMetadata("sluice", version("sluice"), EXTENSIONS)), JSON)
