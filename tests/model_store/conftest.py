"""Stores with small published models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

import pytest
import torch

import flows
from model_store import CalibrationEvidence, Publication, Published, Report, Store, publish
from model_store.manifest import Bfloat16Note, Dtype
from tests.conftest import Digits


class Arguments(TypedDict):
    hidden: list[int]
    couplings: int


class Overrides(TypedDict, total=False):
    """The fields of a publication that tests replace."""

    weights_dtype: Dtype
    calibration: CalibrationEvidence
    bfloat16: Bfloat16Note


ARGUMENTS: Arguments = {"hidden": [24], "couplings": 2}


@pytest.fixture
def publish_digits(tmp_path: Path, digits: Digits) -> Callable[..., Published]:
    """Publishes an untrained NICE, initialised on real digits, into tmp_path/store; keywords override its fields."""

    def run(name: str = "digits", seed: int = 0, **overrides: Unpack[Overrides]) -> Published:
        torch.manual_seed(seed)
        flow = flows.nice((28, 28), **ARGUMENTS)
        flow.initialise(flow.to_continuous(digits.train))
        publication = Publication(
            flow=flow,
            architecture="nice",
            arguments=ARGUMENTS,
            golden_items=digits.test[:8],
            provenance={"data": "mnist", "seed": seed},
            report=Report(
                quality={"test": {"count": 500.0, "log_likelihood": 1.0}},
                card="# digits\n",
                pictures={"samples.png": b"\x89PNG"},
            ),
        )
        return publish(tmp_path / "store", name, replace(publication, **overrides))

    return run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
