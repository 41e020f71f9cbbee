"""The schema of a table: what it refuses, and how numbers become entries of a vector and come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import flows
from model_store import Publication, Store, publish
from tables import Column, Schema

SCHEMA = Schema(
    (
        Column("height", "continuous", offset=170.0, low=150.0, high=190.0),
        Column("rooms", "integer", offset=3.0, resolution=1.0, low=1.0, high=7.0, missing=0.1),
        Column("price", "integer", offset=99.99, resolution=0.01, low=9.99, high=199.99),
        Column("colour", "category", resolution=1.0, high=2.0, categories=("blue", "green", "red")),
        Column("sold", "time", offset=19_000.0, resolution=1.0, low=19_000.0, high=19_900.0, unit="day"),
    ),
    left_out=("id",),
)


def test_numbers_come_back_from_entries() -> None:
    numbers = np.array([[171.5, 4.0, 149.97, 2.0, 19_123.0], [np.nan, np.nan, 9.99, 0.0, 19_000.0]])
    back = SCHEMA.numbers(SCHEMA.entries(numbers))
    assert SCHEMA.entries(numbers).dtype == np.float32
    assert np.allclose(back, numbers, rtol=0, atol=1e-5, equal_nan=True)
    assert back[0, 1] == 4.0
    assert round(back[0, 2], 10) == 149.97  # a multiple of the step, not float32's nearest number


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({"name": ""}, "name must have"),
        ({"kind": "colour"}, "kind must be one of"),
        ({"kind": "integer"}, "resolution must be above 0"),
        ({"kind": "category", "resolution": 1.0}, "categories must hold"),
        ({"kind": "category", "resolution": 1.0, "categories": ("a", "a")}, "different words"),
        ({"kind": "time"}, "unit of a time column"),
        ({"unit": "day"}, "empty for other kinds"),
        ({"offset": float("nan")}, "offset must be finite"),
        ({"missing": 1.5}, "missing must be a share"),
        ({"low": 2.0, "high": 1.0}, "low must not be above high"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused_by_its_field(facts: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Column(**{"name": "x", "kind": "continuous", **facts})


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two columns are named 'x'"):
        Schema((Column("x", "continuous"), Column("x", "continuous")))


def test_the_manifest_keeps_the_schema(tmp_path: Path) -> None:
    flow = flows.nice((5,), couplings=2, hidden=[4], image=False)
    published = publish(
        tmp_path,
        "homes",
        Publication(
            flow=flow,
            architecture="nice",
            arguments={"couplings": 2, "hidden": [4], "image": False},
            golden_items=torch.zeros(2, 5),
            table=SCHEMA,
        ),
    )
    assert '"schema": {' in (published.path / "manifest.json").read_text()
    assert Store(tmp_path).load("homes", 1).manifest.table == SCHEMA
