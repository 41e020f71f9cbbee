"""What is loaded: models, their manifests, cards and pictures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from msgspec import structs
from pydantic import BaseModel, Field

from service.api.answers import Answer
from service.api.dependencies import TheService
from service.api.operations import problems
from service.api.service import Service
from service.media.documents import alpha_reachable
from service.protocol.errors import Unknown
from service.protocol.messages import Read, Told
from service.protocol.model_info import Catalogue, ModelInfo
from tables import Schema

router = APIRouter(tags=["models"], responses=problems())

CARD = "README.md"


class AnySize(BaseModel):
    """How a model that scores pictures of any size prepares each, and the sides of the pictures that calibrate it."""

    longest: int
    """Pixels of the longer side at most: larger pictures are scaled down, their proportions kept."""
    bits: int
    """Bits in use of grey pictures with 16 bits a pixel."""
    shortest_side: int
    longest_side: int
    reductions: tuple[float, float] | None
    """By how much the pictures that calibrate were scaled down: the least and the most; null where it is not known."""
    aligned_size: tuple[int, int] | None
    """Height and width of aligned pictures, the only size that is scored; null where any size is."""


class ModelSummary(BaseModel):
    name: str
    version: int
    reference: str
    default: bool
    architecture: str
    item_shape: list[int]
    item_dtype: str
    quality: dict[str, dict[str, float]]
    any_size: AnySize | None
    """Of a model that scores pictures of any size; `item_shape` is then that of what it draws."""


class RefusedModel(BaseModel):
    name: str
    version: int
    reason: str


class RequestLimits(BaseModel):
    """What one request may hold, so that a client can split a larger batch before it sends it."""

    max_items: int
    """Items to score, encode or decode."""
    max_n: int
    """Items to sample, and completions of an inpainting."""
    max_body_bytes: int


class ModelList(BaseModel):
    models: list[ModelSummary]
    refused: list[RefusedModel]
    loading: list[str] = []
    """Names that are still to be loaded."""
    limits: RequestLimits


class HeldOutScores(BaseModel):
    """How many held-out items score how high: an item's p-value is about the share that scores at least as high.

    Bin i holds the items from ``edges[i]`` up to ``edges[i + 1]``, and the last one those at the last edge too.
    """

    edges: list[float]
    counts: list[int]


class Mapped(BaseModel):
    """What the maps of where a picture is strange rest on; `/score?map=true` gives them."""

    source: str
    reference: int
    """The n of a region's p-value: none is below 1 / (n + 1)."""
    aligned: bool
    """Whether each place is compared with the same place of other pictures."""
    absolute: bool
    """Whether too likely places count as strange too."""
    relative: bool
    """Whether places that are hard to code may be less likely."""


class Calibrated(BaseModel):
    """What the p-values rest on: held-out items, ``fit`` of them for the densities, ``reference`` for the p-values."""

    source: str
    statistics: dict[str, str]
    """Names and meanings."""
    fit: int
    reference: int
    """The n of the p-values: none is below 1 / (n + 1)."""
    smallest_p_value: float
    """1 / (n + 1). With a smaller alpha no item can be anomalous."""
    alpha_reachable: dict[str, bool]
    """Whether a p-value can be as small as 0.1, 0.05 and 0.01."""
    folds: int | None
    """Of a table's cross-conformal p-values, the number of flows that judge an item; else null."""
    detection: dict[str, dict[str, float]]
    """How well the verdict tells each foreign set from ordinary items: auroc, fpr_at_95_tpr. Measured at publish."""
    histogram: HeldOutScores | None
    """The scores that p-values rank an item among."""


class Bfloat16(BaseModel):
    """Log-likelihoods with nets of bfloat16 less those in float32, over held-out items: nats an item."""

    items: int
    mean: float
    std: float
    worst: float
    bits_per_dim: float
    noise: float


class ModelDetails(ModelSummary):
    calibration: Calibrated | None
    map: Mapped | None
    """Null where the model has no map of where a picture is strange."""
    precision: str
    """What the nets of the flow that answers compute in; everything around them is float32."""
    fallback: str | None
    """Why a model that was published as fit for bfloat16 computes in float32, if it does."""
    bfloat16: Bfloat16 | None
    """What such nets change in the log-likelihoods, measured at publish."""
    arguments: dict[str, Any]
    prior: str
    parameters: int
    weights_dtype: str
    provenance: dict[str, str | int | float]
    published: str
    pictures: list[str]
    table: Schema | None = Field(serialization_alias="schema")
    """The columns of a table's model, in the order of a vector's entries."""


@router.get("/models")
async def list_models(service: TheService) -> ModelList:
    """What is served, what was refused and why, and what is still being loaded."""
    catalogue = service.device.catalogue
    return ModelList(
        models=[ModelSummary(**_summary(model, catalogue)) for model in catalogue.models],
        refused=[RefusedModel(name=r.name, version=r.version, reason=r.reason) for r in catalogue.refused],
        loading=list(catalogue.waiting),
        limits=RequestLimits(
            max_items=service.settings.max_items,
            max_n=service.settings.max_n,
            max_body_bytes=service.settings.max_body_bytes,
        ),
    )


@router.get("/models/{name}")
async def describe(name: str, service: TheService) -> ModelDetails:
    """One model: shape, architecture, measured quality, provenance, and its pictures' names."""
    model = await service.model(name)
    return ModelDetails(
        **_summary(model, service.device.catalogue),
        calibration=_calibrated(model),
        map=Mapped(**structs.asdict(model.map)) if model.map is not None else None,
        precision=model.precision,
        fallback=model.fallback,
        bfloat16=Bfloat16(**model.bfloat16) if model.bfloat16 is not None else None,  # type: ignore[arg-type]
        arguments=model.arguments,
        prior=model.prior,
        parameters=model.parameters,
        weights_dtype=model.weights_dtype,
        provenance=model.provenance,
        published=model.published,
        pictures=[file for file in model.files if file.endswith(".png")],
        table=model.table,
    )


@router.get("/models/{name}/card", response_class=Response)
async def card(name: str, service: TheService) -> Response:
    """The model card, as Markdown."""
    return Answer(await _file(service, await service.model(name), CARD), "text/markdown; charset=utf-8")


@router.get("/models/{name}/pictures/{file}", response_class=Response)
async def picture(name: str, file: str, service: TheService) -> Response:
    """A picture of the model card; only those that the manifest lists."""
    model = await service.model(name)
    if not file.endswith(".png"):
        raise Unknown("the model has no such picture", "file")
    return Answer(await _file(service, model, file), "image/png")


async def _file(service: Service, model: ModelInfo, file: str) -> bytes:
    told: Told = await service.device.ask(lambda number: Read(number, model.reference, file))
    return told.data


_ALPHAS = (0.1, 0.05, 0.01)


def _calibrated(model: ModelInfo) -> Calibrated | None:
    note = model.calibration
    if note is None:
        return None
    return Calibrated(
        source=note.source,
        statistics=note.statistics,
        fit=note.fit,
        reference=note.reference,
        smallest_p_value=note.smallest_p_value,
        alpha_reachable={f"{alpha:g}": alpha_reachable(model, alpha) is True for alpha in _ALPHAS},
        folds=note.folds,
        detection=note.detection,
        histogram=HeldOutScores(edges=list(note.histogram.edges), counts=list(note.histogram.counts))
        if note.histogram is not None
        else None,
    )


def _summary(model: ModelInfo, catalogue: Catalogue) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "reference": model.reference,
        "default": catalogue.is_default(model),
        "architecture": model.architecture,
        "item_shape": list(model.item_shape),
        "item_dtype": model.item_dtype,
        "quality": model.quality,
        "any_size": AnySize(**structs.asdict(model.pictures)) if model.pictures is not None else None,
    }
