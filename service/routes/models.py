"""What is loaded: models, their manifests, cards and pictures."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from flows.anomaly import STATISTICS
from model_store import LoadedModel, StoreError
from model_store.manifest import Bfloat16Note
from service.errors import Unknown
from service.routes.common import TheEngine, problems

router = APIRouter(tags=["models"], responses=problems())

CARD = "README.md"


class ModelSummary(BaseModel):
    name: str
    version: int
    reference: str
    default: bool
    architecture: str
    item_shape: list[int]
    item_dtype: str
    quality: dict[str, dict[str, float]]


class RefusedModel(BaseModel):
    name: str
    version: int
    reason: str


class ModelList(BaseModel):
    models: list[ModelSummary]
    refused: list[RefusedModel]


class Calibrated(BaseModel):
    """What the p-values rest on: held-out items, ``fit`` of them for the densities, ``reference`` for the p-values."""

    source: str
    statistics: dict[str, str]
    """Names and meanings."""
    fit: int
    reference: int
    """The n of the p-values: none is below 1 / (n + 1)."""
    detection: dict[str, dict[str, float]]
    """How well the verdict tells each foreign set from ordinary items: auroc, fpr_at_95_tpr. Measured at publish."""


class ModelDetails(ModelSummary):
    calibration: Calibrated | None
    precision: str
    """What the nets of the flow that answers compute in; everything around them is float32."""
    bfloat16: Bfloat16Note | None
    """What such nets change in the log-likelihoods, measured at publish."""
    arguments: dict[str, Any]
    prior: str
    parameters: int
    weights_dtype: str
    provenance: dict[str, str | int | float]
    published: str
    pictures: list[str]


@router.get("/models")
async def list_models(engine: TheEngine) -> ModelList:
    """What is served, and what was refused and why."""
    registry = engine.registry
    return ModelList(
        models=[ModelSummary(**_summary(model, registry.default)) for model in registry.models],
        refused=[RefusedModel(name=r.name, version=r.version, reason=r.reason) for r in registry.refused],
    )


@router.get("/models/{name}")
async def describe(name: str, engine: TheEngine) -> ModelDetails:
    """One model: shape, architecture, measured quality, provenance, and its pictures' names."""
    model = engine.registry.get(name)
    manifest = model.manifest
    return ModelDetails(
        **_summary(model, engine.registry.default),
        calibration=_calibrated(model),
        precision=model.precision,
        bfloat16=manifest.bfloat16,
        arguments=manifest.architecture.arguments,
        prior=manifest.prior,
        parameters=manifest.weights.parameters,
        weights_dtype=manifest.weights.dtype,
        provenance=manifest.provenance,
        published=manifest.published,
        pictures=[file for file in manifest.files if file.endswith(".png")],
    )


@router.get("/models/{name}/card", response_class=Response)
async def card(name: str, engine: TheEngine) -> Response:
    """The model card, as Markdown."""
    return Response(await _file(engine.registry.get(name), CARD), media_type="text/markdown")


@router.get("/models/{name}/pictures/{file}", response_class=Response)
async def picture(name: str, file: str, engine: TheEngine) -> Response:
    """A picture of the model card; only those that the manifest lists."""
    model = engine.registry.get(name)
    if not file.endswith(".png"):
        raise Unknown("the model has no such picture", "file")
    return Response(await _file(model, file), media_type="image/png")


async def _file(model: LoadedModel, file: str) -> bytes:
    try:
        return await asyncio.to_thread(model.read, file)
    except StoreError as error:
        raise Unknown("the model has no such file, or not as it was published", "file") from error


def _calibrated(model: LoadedModel) -> Calibrated | None:
    note = model.manifest.calibration
    if note is None:
        return None
    meanings = {name: STATISTICS[name] for name in note.statistics}
    return Calibrated(
        source=note.source,
        statistics=meanings,
        fit=note.fit,
        reference=note.reference,
        detection=note.detection,
    )


def _summary(model: LoadedModel, default: str | None) -> dict[str, Any]:
    manifest = model.manifest
    return {
        "name": model.name,
        "version": model.version,
        "reference": model.reference,
        "default": default is not None and default.partition("@")[0] == model.name,
        "architecture": manifest.architecture.name,
        "item_shape": manifest.item.shape,
        "item_dtype": manifest.item.dtype,
        "quality": manifest.quality,
    }
