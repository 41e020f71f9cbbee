"""A small published model of a table, for tests of the service."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flows import Flow, build
from flows.anomaly import CrossCalibration
from model_store import CalibrationEvidence, Publication, publish
from tables import Column, Schema

SCHEMA = Schema(
    (
        Column("height", "continuous", low=150.0, high=190.0),
        Column("rooms", "integer", resolution=1.0, low=1.0, high=7.0, missing=0.1),
        Column("colour", "category", resolution=1.0, high=1.0, categories=("blue", "red")),
        Column("sold", "time", offset=19_000.0, resolution=1.0, low=19_000.0, high=19_900.0, unit="day"),
    ),
    left_out=("id",),
)
ROWS: list[dict[str, Any]] = [
    {"height": 171.5, "rooms": 3, "colour": "red", "sold": "2024-01-02"},
    {"height": 160.25, "rooms": 2, "colour": "blue", "sold": "2022-05-01"},
]
CSV = {"content-type": "text/csv"}


def homes(count: int, seed: int, scale: float = 1.0) -> np.ndarray:
    """Made-up homes (count, 4), as numbers that ``SCHEMA.entries`` takes; ``scale`` multiplies the heights."""
    generator = np.random.default_rng(seed)
    rooms = generator.integers(1, 8, count)
    return np.stack(
        [
            (150 + 4.0 * rooms + generator.normal(size=count)) * scale,
            rooms.astype(float),
            generator.integers(0, 2, count),
            generator.integers(19_000, 19_900, count),
        ],
        axis=1,
    )


def publish_homes(root: Path, calibrated: bool = False, members: int = 5) -> Flow:
    """Publish `homes`, a flow of the schema's rows that was initialised and never trained; with p-values if asked."""
    items = torch.from_numpy(SCHEMA.entries(homes(500, seed=0)))
    arguments = {"hidden": [8], "couplings": 2, "steps": SCHEMA.resolutions, "levels": SCHEMA.levels}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = build("table", (4,), arguments)
    flow.fit_completion(items)
    flow.initialise(flow.to_continuous(items))
    calibration = None
    if calibrated:
        folds, flows = torch.arange(len(items)) % members, [copy.deepcopy(flow.eval()) for _ in range(members)]
        calibration = CalibrationEvidence(
            calibration=CrossCalibration.of(flows, flow.to_continuous(items), folds), source="made-up homes"
        )
    publish(
        root,
        "homes",
        Publication(
            flow=flow,
            architecture="table",
            arguments=arguments,
            golden_items=items[:4],
            table=SCHEMA,
            calibration=calibration,
        ),
    )
    return flow
