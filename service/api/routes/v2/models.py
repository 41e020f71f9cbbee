"""GET /v2/models/{name}: metadata, readiness, configuration and statistics; and the index of the repository."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response
from msgspec import Struct

from service.api.answers import Answer
from service.api.dependencies import TheService
from service.api.operations import problems
from service.api.routes.health import of_devices
from service.api.schemas import answered, schema_of
from service.api.service import Service
from service.api.v2.documents import (
    IndexedModel,
    InputConfig,
    ModelConfig,
    ModelMetadata,
    OutputConfig,
    Statistics,
    TensorMetadata,
)
from service.api.v2.signatures import OTHERS, SCORE, Called, called, name_of
from service.api.v2.statistics import Totals
from service.media.documents import to_json
from service.media.types import JSON
from service.protocol.errors import Malformed, TooLarge
from service.protocol.messages import Kind

PLATFORM = "sluice_flow"
_LARGEST_INDEX_REQUEST = 4096
"""Bytes of the body of a request for the index, which says one word."""
_KINDS: tuple[Kind, ...] = (SCORE, *OTHERS)

router = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=problems())

Name = Annotated[str, Path(description="A model, which scores, or `MODEL.sample`, `.inpaint`, `.encode`, `.decode`")]
Version = Annotated[str, Path(description="A version, or an alias of one")]


def _answer(document: Any) -> Answer:
    return Answer(to_json(document), JSON)


async def _function(service: Service, name: str, version: str | None = None) -> Called:
    return await called(service.model, service.device.catalogue, name, version)


# Before the routes of a model, whose name it would be.
@router.get("/models/stats", responses={200: answered(Statistics)}, response_class=Response)
async def statistics(service: TheService) -> Answer:
    """What was counted and how long it took, of every function of every model."""
    models = service.device.catalogue.models
    functions = [Called(model, kind, name_of(model.name, kind)) for model in models for kind in _KINDS]
    return await _statistics(service, functions)


@router.get("/models/{name}", responses={200: answered(ModelMetadata)}, response_class=Response)
async def metadata(name: Name, service: TheService) -> Answer:
    """Names, datatypes and shapes of a function's inputs and outputs."""
    return _metadata(await _function(service, name))


@router.get("/models/{name}/versions/{version}", responses={200: answered(ModelMetadata)}, response_class=Response)
async def metadata_of_version(name: Name, version: Version, service: TheService) -> Answer:
    """The same of one version."""
    return _metadata(await _function(service, name, version))


@router.get("/models/{name}/ready", response_class=Response)
async def ready(name: Name, service: TheService) -> Answer:
    """200 while the model serves."""
    return _answer({"name": (await _function(service, name)).name, "ready": True})


@router.get("/models/{name}/versions/{version}/ready", response_class=Response)
async def version_ready(name: Name, version: Version, service: TheService) -> Answer:
    """200 while this version serves."""
    return _answer({"name": (await _function(service, name, version)).name, "ready": True})


@router.get("/models/{name}/config", responses={200: answered(ModelConfig)}, response_class=Response)
async def config(name: Name, service: TheService) -> Answer:
    """The configuration as Triton writes it: largest batch, inputs and which of them are optional, outputs."""
    return _config(service, await _function(service, name))


@router.get("/models/{name}/versions/{version}/config", responses={200: answered(ModelConfig)}, response_class=Response)
async def config_of_version(name: Name, version: Version, service: TheService) -> Answer:
    """The same of one version."""
    return _config(service, await _function(service, name, version))


@router.get("/models/{name}/stats", responses={200: answered(Statistics)}, response_class=Response)
async def statistics_of_model(name: Name, service: TheService) -> Answer:
    """What was counted of one function, and how long it took."""
    return await _statistics(service, [await _function(service, name)])


@router.get("/models/{name}/versions/{version}/stats", responses={200: answered(Statistics)}, response_class=Response)
async def statistics_of_version(name: Name, version: Version, service: TheService) -> Answer:
    """The same of one version."""
    return await _statistics(service, [await _function(service, name, version)])


class _IndexRequest(Struct):
    """The body of a request for the index, where it has one."""

    ready: bool = False


@router.post(
    "/repository/index",
    responses={
        200: {"content": {JSON: {"schema": {"type": "array", "items": schema_of(IndexedModel)}}}},
        **problems(400, 413),
    },
    openapi_extra={
        "requestBody": {
            "content": {JSON: {"schema": {"type": "object", "properties": {"ready": {"type": "boolean"}}}}},
        }
    },
    response_class=Response,
)
async def index(service: TheService, request: Request) -> Answer:
    """What is served, refused and still to be loaded. With `{"ready": true}` only what is served."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_INDEX_REQUEST:
            raise TooLarge(
                f"the body has more than the {_LARGEST_INDEX_REQUEST} bytes that a request for the index needs"
            )
    try:
        only_ready = bool(body) and msgspec.json.decode(body, type=_IndexRequest).ready
    except msgspec.MsgspecError as error:
        raise Malformed(f"the body must be a JSON object with ready, true or false: {error}", "ready") from error
    catalogue = service.device.catalogue
    found = [
        IndexedModel(name_of(model.name, kind), str(model.version), "READY", "")
        for model in catalogue.models
        for kind in _KINDS
    ]
    if not only_ready:
        found += [IndexedModel(each.name, str(each.version), "UNAVAILABLE", each.reason) for each in catalogue.refused]
        found += [IndexedModel(name, "", "LOADING", "it is still being loaded") for name in catalogue.waiting]
    return _answer(found)


def _metadata(function: Called) -> Answer:
    signature = function.signature()
    inputs, outputs = (
        [TensorMetadata(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in tensors]
        for tensors in (signature.inputs, signature.outputs)
    )
    return _answer(ModelMetadata(function.name, [function.version], PLATFORM, inputs, outputs))


def _config(service: Service, function: Called) -> Answer:
    signature, model = function.signature(), function.model
    inputs = [
        InputConfig(tensor.name, _type(tensor.datatype), list(tensor.shape), tensor.optional)
        for tensor in signature.inputs
    ]
    outputs = [OutputConfig(tensor.name, _type(tensor.datatype), list(tensor.shape)) for tensor in signature.outputs]
    said = {
        "architecture": model.architecture,
        "precision": model.precision,
        "device": model.device,
        "published": model.published,
        "max_items": str(service.settings.max_items),
    }
    return _answer(
        ModelConfig(
            name=function.name,
            platform=PLATFORM,
            backend="sluice",
            # 0: the extent of a batch is one of dims, like any other.
            max_batch_size=0,
            input=inputs,
            output=outputs,
            parameters={name: {"string_value": value} for name, value in said.items()},
        )
    )


def _type(datatype: str) -> str:
    return f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}"


async def _statistics(service: Service, functions: list[Called]) -> Answer:
    totals = Totals(service.metrics.samples(), await of_devices(service))
    return _answer(Statistics(totals.of(functions)))
