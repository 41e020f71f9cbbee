"""The manifest: the JSON that describes one published version. Written last, it marks the version complete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store.reference import NAME

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
CALIBRATION = "calibration.safetensors"
GOLDEN = "golden.safetensors"
DRAWS = "draws.png"
CARD = "README.md"

Dtype = Literal["float32", "bfloat16"]


class _Strict(BaseModel):
    """Unknown keys, wrong types and infinities are errors: a manifest comes from outside."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Architecture(_Strict):
    name: str
    arguments: dict[str, Any]


class Item(_Strict):
    """What a user sends and gets: uint8 pixels of an image flow, float32 entries of a vector flow."""

    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=3)]
    dtype: Literal["uint8", "float32"]


class Weights(_Strict):
    """``dtype`` is that of the stored matrices; vectors (biases, scales, means) are always float32."""

    dtype: Dtype
    parameters: int


class Golden(_Strict):
    """The self-test: a few held-out items with their log-likelihoods, and how far a machine may be off.

    ``log_likelihood_tolerance`` is in nats an item, ``round_trip_tolerance`` in data units an entry,
    or in the largest size of that entry over the golden items where that is above 1.
    """

    count: Annotated[int, Field(ge=1)]
    seed: int
    log_likelihood_tolerance: Annotated[float, Field(gt=0)]
    round_trip_tolerance: Annotated[float, Field(gt=0)]


class CalibrationNote(_Strict):
    """What the p-values rest on: held-out items that no weight was trained on, in two parts (see flows.anomaly)."""

    source: str
    statistics: list[str]
    fit: int
    reference: int
    detection: dict[str, dict[str, float]] = {}
    """Figures of how well the verdict tells each foreign set from ordinary items, measured on none of the above."""


class Bfloat16Note(_Strict):
    """Log-likelihoods with nets of bfloat16 less those in float32, over held-out items: nats an item.

    ``bits_per_dim`` is the size of their mean in bits per dimension, ``noise`` their standard deviation as a share of
    that of the log-likelihoods themselves.
    """

    items: Annotated[int, Field(ge=1)]
    mean: float
    std: float
    worst: float
    bits_per_dim: Annotated[float, Field(ge=0)]
    noise: Annotated[float, Field(ge=0)]


class FileEntry(_Strict):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]


class Manifest(_Strict):
    format: Literal[1]
    name: Annotated[str, Field(pattern=rf"^{NAME}$")]
    version: Annotated[int, Field(ge=1)]
    published: str
    architecture: Architecture
    item: Item
    prior: str
    weights: Weights
    provenance: dict[str, str | int | float]
    quality: dict[str, dict[str, float]]
    golden: Golden
    calibration: CalibrationNote | None
    bfloat16: Bfloat16Note | None = None
    """Where this is small, the service may compute with nets of bfloat16, and the calibration was made with them."""
    files: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")], FileEntry]
