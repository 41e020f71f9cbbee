"""What a route needs to know of a model, as plain data: no weight and no tensor crosses the border."""

from __future__ import annotations

import math
from typing import Any

from msgspec import Struct

from service.protocol.errors import Unavailable, Unknown
from tables import Schema

STARTING_RETRY_AFTER = 2
"""Seconds after which a client may ask again for a model that is still being loaded."""


class TestInfo(Struct, frozen=True):
    """One test of a calibrated model and the statistics that mean something on their own."""

    name: str
    statistics: tuple[str, ...]


class ScoreHistogram(Struct, frozen=True):
    """How many held-out items have a nonconformity score between each two edges; the last bin holds its upper edge."""

    edges: tuple[float, ...]
    """Ascending, one more than ``counts``."""
    counts: tuple[int, ...]


class CalibrationInfo(Struct, frozen=True):
    """What the p-values of a model rest on."""

    source: str
    statistics: dict[str, str]
    """Names and meanings of the statistics."""
    fit: int
    """Held-out items that fit the densities."""
    reference: int
    """Held-out items that the p-values rank an item among: n, so that none is below 1 / (n + 1)."""
    detection: dict[str, dict[str, float]]
    """AUROC and false-positive rate at 95 % detection against each foreign set, measured at publish."""
    folds: int | None = None
    """Members of a table's cross-conformal p-values; None for a calibration by kernel densities of statistics."""
    histogram: ScoreHistogram | None = None
    """Of the ``reference`` held-out items that p-values rank an item among."""

    @property
    def smallest_p_value(self) -> float:
        """1 / (n + 1). An alpha below it can never be reached."""
        return 1 / (self.reference + 1)


class MapInfo(Struct, frozen=True):
    """What the map of where a picture is strange rests on."""

    source: str
    reference: int
    """Held-out pictures that a region's p-value ranks a picture among: n, so that none is below 1 / (n + 1)."""
    aligned: bool
    """Whether each place is compared with the same place of other pictures."""
    absolute: bool
    """Whether too likely places count as strange too."""
    relative: bool
    """Whether places that are hard to code may be less likely."""


class PicturesInfo(Struct, frozen=True):
    """How a model that scores pictures of any size prepares each picture, and the sizes that it was calibrated on."""

    longest: int
    """Pixels of the longer side at most: larger pictures are scaled down, their proportions kept."""
    bits: int
    """Bits in use of grey pictures with 16 bits a pixel."""
    shortest_side: int
    longest_side: int
    reductions: tuple[float, float] | None = None
    """By how much the calibrating pictures were scaled down: the least and the most; None where it is not known."""
    aligned_size: tuple[int, int] | None = None
    """Height and width of aligned pictures, the only size that is scored; None where any size is."""


class ModelInfo(Struct, frozen=True):
    """One served version: shapes, kinds, what was measured, and the names of its files."""

    name: str
    version: int
    aliases: tuple[str, ...]
    item_shape: tuple[int, ...]
    item_dtype: str
    """`uint8` of an image model, `float32` of a vector model."""
    latent_shape: tuple[int, ...]
    architecture: str
    arguments: dict[str, Any]
    prior: str
    parameters: int
    weights_dtype: str
    weights_sha256: str
    precision: str
    """What the nets of the flow that answers compute in."""
    fallback: str | None
    """Why a model that was published as fit for bfloat16 computes in float32, if it does."""
    device: str
    bfloat16: dict[str, float] | None
    quality: dict[str, dict[str, float]]
    provenance: dict[str, str | int | float]
    published: str
    files: tuple[str, ...]
    tests: tuple[TestInfo, ...]
    """Of a calibrated model; none otherwise."""
    calibration: CalibrationInfo | None
    table: Schema | None = None
    """The columns of the table that a vector is a row of; None for images, and for vectors without a schema."""
    map: MapInfo | None = None
    """None where the model has no map of where a picture is strange."""
    pictures: PicturesInfo | None = None
    """Of a model that scores pictures of any size. Its item shape is that of what it draws."""

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def is_image(self) -> bool:
        return self.item_dtype == "uint8"

    @property
    def takes_missing(self) -> bool:
        """Whether cells of a row may be missing: the flow then draws them given the others."""
        return self.table is not None and bool(self.arguments.get("steps"))

    @property
    def dimensions(self) -> int:
        """Entries of one item."""
        return math.prod(self.item_shape)

    @property
    def judged_shape(self) -> tuple[int, ...]:
        """The shape of items that a protocol with fixed shapes scores: that of aligned pictures, or the model's own."""
        size = None if self.pictures is None else self.pictures.aligned_size
        return self.item_shape if size is None else (*size, *self.item_shape[2:])

    @property
    def bits_per_dim_of(self) -> int | None:
        """The number of pixels that bits per dimension refer to; None for vectors."""
        return self.dimensions if self.is_image else None


class RefusedInfo(Struct, frozen=True):
    """A version that failed a check when it was loaded, and the aliases that pointed at it."""

    name: str
    version: int
    reason: str
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}@{self.version} is refused: {self.reason}"


class Catalogue:
    """The models that a device serves, by everything that a request may call them.

    ``waiting`` names the models that are still to be loaded, ``default`` is the reference of a request that names none.
    Immutable: the device sends a new one whenever something changes, so that a request sees the old or the new one.
    """

    def __init__(
        self,
        models: tuple[ModelInfo, ...] = (),
        refused: tuple[RefusedInfo, ...] = (),
        waiting: tuple[str, ...] = (),
        default: str | None = None,
        starting: bool = True,
    ) -> None:
        self.models, self.refused, self.waiting = models, refused, waiting
        self.default, self.starting = default, starting
        self._found: dict[str, ModelInfo | RefusedInfo] = {}
        for refusal in refused:
            self._found[f"{refusal.name}@{refusal.version}"] = refusal
            self._found[refusal.name] = refusal
            self._found.update({f"{refusal.name}@{alias}": refusal for alias in refusal.aliases})
        for model in models:  # last: a version that serves wins over a newer one that was refused
            self._found[model.name] = self._found[model.reference] = model
            self._found.update({f"{model.name}@{alias}": model for alias in model.aliases})

    def get(self, reference: str | None) -> ModelInfo:
        """The model that a request means. Raises Unknown, or Unavailable for one that is known and not served."""
        asked = reference if reference is not None else self.default
        if asked is None:
            if self.starting:
                raise Unavailable("the models are still being loaded", retry_after=STARTING_RETRY_AFTER)
            raise Unavailable("no model is loaded")
        found = self._found.get(asked)
        if isinstance(found, ModelInfo):
            return found
        if isinstance(found, RefusedInfo):
            raise Unavailable(str(found), "model")
        if asked.partition("@")[0] in self.waiting:
            field = None if reference is None else "model"
            raise Unavailable(f"the model {asked!r} is still being loaded", field, STARTING_RETRY_AFTER)
        if self.starting and not self.waiting:  # which names there are is not known yet
            raise Unavailable("the models are still being loaded", retry_after=STARTING_RETRY_AFTER)
        if reference is None:
            raise Unavailable(f"the default model {asked!r} is not loaded")
        raise Unknown("there is no such model, or this version is not loaded", "model")

    def serves(self, reference: str) -> bool:
        """Whether this `name@version` is served."""
        return isinstance(self._found.get(reference), ModelInfo)

    def is_default(self, model: ModelInfo) -> bool:
        """Whether a request that names no model gets this one."""
        return self.default is not None and self._found.get(self.default) is model

    def unready(self) -> str | None:
        """Why a request without a model cannot be answered, or None when at least one model serves."""
        if self.models and not (self.starting and self.default is not None and self.default not in self._found):
            return None
        if self.starting:
            return "the models are still being loaded"
        if not self.refused:
            return "no model is loaded"
        return "every model is refused: " + "; ".join(map(str, self.refused))
