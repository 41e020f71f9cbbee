"""What is handed in to publish a model: the flow, what it was made of, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from flows import Flow
from flows.anomaly import Calibration, CrossCalibration, MapCalibration, PictureCalibration
from model_store.manifest import Bfloat16Note, Dtype, PicturesNote
from tables import Schema

Figures = Mapping[str, Mapping[str, float]]
"""Named figures of named sets of items: ``{"test": {"log_likelihood": 1980.5}}``."""


@dataclass(frozen=True, kw_only=True)
class CalibrationEvidence:
    """A calibration with what the manifest says of it. It is of the flow that serves (see ``precision.serving``)."""

    calibration: Calibration | CrossCalibration | PictureCalibration
    source: str
    """Where the calibration's items come from, as a sentence for people."""
    detection: Figures = field(default_factory=dict)
    """How well the verdict tells other sets of items from ordinary ones, a row of figures for each set."""
    live: bool = False
    """Whether its items are a sample of live traffic."""


@dataclass(frozen=True, kw_only=True)
class MapEvidence:
    """A calibration of maps with what the manifest says of it. It is of the flow that serves, too."""

    calibration: MapCalibration
    source: str
    """Where the held-out pictures come from, as a sentence for people."""
    fit: int
    """Number of pictures that what is usual was read from."""
    detection: Mapping[str, float] = field(default_factory=dict)
    """AUROC of pixels by recipe."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What people read of a model: measured figures by split, the model card in Markdown, its pictures."""

    quality: Figures = field(default_factory=dict)
    card: str = ""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG bytes by file name. The card links to them by these names."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Everything that becomes one published version."""

    flow: Flow
    architecture: str
    """The name of the flow's builder on the allow-list of ``flows.build``."""
    arguments: Mapping[str, Any]
    """The builder's arguments, as JSON can hold them."""
    golden_items: Tensor
    """A few held-out items (N, *item_shape), as a user sends them, for the self-test at every load."""
    weights_dtype: Dtype = "float32"
    """The dtype in which matrices are stored. Vectors are always stored as float32."""
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    calibration: CalibrationEvidence | None = None
    map: MapEvidence | None = None
    bfloat16: Bfloat16Note | None = None
    """What nets of bfloat16 change in the log-likelihoods (see ``precision.measure_bfloat16``)."""
    draws: Tensor | None = None
    """Items (N, *item_shape) drawn from the flow, for the initial points of inpaintings (see ``inpainting.draws``)."""
    table: Schema | None = None
    """The columns of the table that the flow's vectors are rows of."""
    pictures: PicturesNote | None = None
    """Of a model that scores pictures of any size: how it prepares them. Its calibration is a PictureCalibration."""
