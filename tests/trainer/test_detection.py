"""Calibration at publish, and the figures that a card states about it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import flows
from tests.conftest import DATA
from trainer.calibration import calibrate
from trainer.detection import against_corruptions, detection
from trainer.foreign import CORRUPTIONS, VECTOR_CORRUPTIONS, corruptions


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """500 real digits (500, 28, 28)."""
    with np.load(DATA / "mnist-subset.npz") as file:
        return torch.from_numpy(file["test_images"])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_auroc_is_the_chance_of_a_higher_score(ordinary: list[int], foreign: list[int]) -> None:
    found = detection(torch.tensor(ordinary), torch.tensor(foreign))
    wins = sum((f > o) + 0.5 * (f == o) for f in foreign for o in ordinary)
    assert found.auroc == pytest.approx(wins / len(ordinary) / len(foreign))


def test_false_positives_are_counted_where_95_percent_are_found() -> None:
    ordinary, foreign = torch.arange(100), torch.arange(50, 150)
    assert detection(ordinary, foreign).fpr_at_95_tpr == pytest.approx(0.45)
    assert detection(ordinary, foreign + 100).fpr_at_95_tpr == 0


@pytest.mark.parametrize("colour", [False, True])
def test_corruptions_change_every_set_and_are_the_same_every_time(pixels: Tensor, colour: bool) -> None:
    images = pixels[:20]
    if colour:
        images = images[..., None].expand(-1, -1, -1, 3).contiguous()
    before = images.clone()
    made = corruptions(images)
    assert made.keys() == CORRUPTIONS.keys()
    for name, foreign in made.items():
        assert foreign.shape == images.shape, name
        assert foreign.dtype == torch.uint8, name
        assert bool((foreign != images).flatten(1).any(dim=1).all()), name
        assert torch.equal(foreign, corruptions(images)[name]), name
    assert torch.equal(images, before)
    assert torch.equal(made["shuffled pixels"].flatten(1).sort().values, images.flatten(1).sort().values)


def test_corrupted_vectors_keep_what_each_corruption_keeps() -> None:
    vectors = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([5.0, 0.0, -5.0])
    made = corruptions(vectors)
    assert made.keys() == VECTOR_CORRUPTIONS.keys()
    assert torch.equal(made["shuffled columns"].sort(dim=0).values, vectors.sort(dim=0).values)
    assert bool((made["uniform in their box"] >= vectors.amin(dim=0)).all())
    torch.testing.assert_close(made["stretched twofold"].mean(dim=0), vectors.mean(dim=0))
    torch.testing.assert_close(made["stretched twofold"].std(dim=0), 2 * vectors.std(dim=0))


def test_what_is_published_of_a_verdict_is_how_well_it_finds_each_corruption(pixels: Tensor) -> None:
    flow = flows.nice((28, 28), hidden=[8]).requires_grad_(False)
    flow.initialise(flow.to_continuous(pixels[:200]))
    found = against_corruptions(flow, calibrate(flow, pixels[200:400]), pixels[400:])
    assert found.keys() == CORRUPTIONS.keys()
    assert found["uniform noise"]["auroc"] > 0.95
    assert found["uniform noise"]["fpr_at_95_tpr"] < 0.05
    assert against_corruptions(flow, None, pixels) == {}


def test_calibration_splits_what_was_held_out_and_promises_nothing_from_too_little(pixels: Tensor) -> None:
    flow = flows.nice((28, 28), hidden=[8]).requires_grad_(False)
    flow.initialise(flow.to_continuous(pixels))
    calibration = calibrate(flow, pixels[:90])
    assert calibration is not None
    assert (len(calibration.nonconformity.fit), calibration.size) == (30, 60)
    assert calibrate(flow, pixels[:30]) is None
