"""The manifest: the JSON that describes one published version. Written last, it marks the version complete."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from model_store.reference import NAME
from tables import Schema

FORMAT: Final = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
WEIGHTS = "model.safetensors"
CALIBRATION = "calibration.safetensors"
MAP = "map.safetensors"
GOLDEN = "golden.safetensors"
DRAWS = "draws.png"
CARD = "README.md"

Dtype = Literal["float32", "float16", "bfloat16"]


class _Strict(BaseModel):
    """The base of every part of a manifest. Unknown keys, wrong types and infinities are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Architecture(_Strict):
    """The name of a builder on the allow-list of ``flows.build``, and the builder's arguments."""

    name: str
    arguments: dict[str, Any]


class Item(_Strict):
    """The shape and dtype of an item: uint8 pixels for an image flow, float32 entries for a vector flow."""

    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=3)]
    dtype: Literal["uint8", "float32"]


class Weights(_Strict):
    """The dtype of the stored matrices (vectors are always float32), and the number of parameters."""

    dtype: Dtype
    parameters: int


class Golden(_Strict):
    """The self-test: how many golden items there are, and how far a machine's answers may deviate from theirs.

    ``seed`` is the seed of the items' dequantisation noise. ``log_likelihood_tolerance`` is in nats per item.
    ``round_trip_tolerance`` is per entry of an item, in data units; for an entry whose largest absolute value among
    the golden items is above 1, it is relative to that value.
    """

    count: Annotated[int, Field(ge=1)]
    seed: int
    log_likelihood_tolerance: Annotated[float, Field(gt=0)]
    round_trip_tolerance: Annotated[float, Field(gt=0)]


class CalibrationNote(_Strict):
    """The items that the p-values rest on: held out from training, in two parts (see flows.anomaly)."""

    source: str
    """Where the items come from, for people."""
    statistics: list[str]
    fit: int
    """Number of items that fitted the nonconformity score."""
    reference: int
    """Number of items that p-values are ranked among."""
    folds: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of a table's cross-conformal p-values: the number of members, each with a flow of its own if they are several.

    None for a calibration by kernel densities of statistics.
    """
    detection: dict[str, dict[str, float]] = {}
    """How well the verdict tells each other set of items from ordinary ones, measured on none of the items above."""
    live: bool = False
    """Whether p-values are ranked among a sample of live traffic. Rows that a calibration keeps are not of it."""


class MapNote(_Strict):
    """What maps of where a picture is strange rest on (see flows.anomaly.maps)."""

    source: str
    """Where the held-out pictures come from, for people."""
    aligned: bool
    """Whether each place is compared with the same place of other pictures, or with all places."""
    absolute: bool
    """Whether too likely places count as strange too."""
    relative: bool
    """Whether places that are hard to code may be less likely."""
    fit: int
    """Number of pictures that what is usual was read from."""
    reference: int
    """Number of pictures that p-values are ranked among."""
    detection: dict[str, float] = {}
    """AUROC of the map's pixels by recipe, on faults put into the pictures of ``fit``; the best recipe was taken."""


class PicturesNote(_Strict):
    """How a model of pictures of any size prepares each picture (see pictures/), and the sizes that it knows.

    The item shape is then that of the crops that it was trained on: what it draws.
    """

    longest: Annotated[int, Field(ge=8)]
    """Pixels of the longer side at most: larger pictures are scaled down, their proportions kept."""
    bits: Annotated[int, Field(ge=8, le=16)]
    """Bits in use of grey pictures with 16 bits a pixel."""
    shortest_side: Annotated[int, Field(ge=8)]
    longest_side: Annotated[int, Field(ge=8)]
    """Pixels of the shortest and of the longest side of any picture that calibrates."""
    reductions: tuple[Annotated[float, Field(ge=1)], Annotated[float, Field(ge=1)]] | None = None
    """How many times larger these pictures were before they were scaled down, 1 as they were: the least and the most.

    Not known of models that were published before it was kept.
    """


class Bfloat16Note(_Strict):
    """What nets of bfloat16 change: their log-likelihoods less those of float32 nets, over held-out items.

    ``mean``, ``std`` and ``worst`` are in nats per item.
    """

    items: Annotated[int, Field(ge=1)]
    mean: float
    std: float
    worst: float
    """The largest absolute difference."""
    bits_per_dim: Annotated[float, Field(ge=0)]
    """The absolute mean in bits per dimension."""
    noise: Annotated[float, Field(ge=0)]
    """The standard deviation of the differences divided by that of the float32 log-likelihoods."""


class FileEntry(_Strict):
    """The hash and the size in bytes of one file beside the manifest."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]


class Manifest(_Strict):
    """One published version."""

    format: Literal[1]
    name: Annotated[str, Field(pattern=rf"^{NAME}$")]
    version: Annotated[int, Field(ge=1)]
    published: str
    """Date and time in ISO 8601, UTC."""
    architecture: Architecture
    item: Item
    prior: str
    weights: Weights
    provenance: dict[str, str | int | float]
    quality: dict[str, dict[str, float]]
    """Measured figures by split."""
    golden: Golden
    calibration: CalibrationNote | None
    map: MapNote | None = None
    """None for vectors, and for versions that were published before there were maps."""
    bfloat16: Bfloat16Note | None = None
    """Where it finds the change harmless, the service may use nets of bfloat16, and the calibration was made with them.

    See ``precision.serving``. None for versions that were published before it was measured.
    """
    pictures: PicturesNote | None = None
    """Of a model that scores pictures of any size; None for all others."""
    table: Schema | None = Field(default=None, alias="schema")
    """The columns of the table that a vector is a row of; None for images, and for vectors without a schema."""
    files: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")], FileEntry]

    @field_validator("files")
    @classmethod
    def _leave_out_those_of_the_store(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        """Refuse names that the store writes itself: signing would overwrite a file that the manifest vouches for."""
        for file in (MANIFEST, SIGNATURE):
            if file in files:
                raise ValueError(f"{file} cannot be a file of a model")
        return files
