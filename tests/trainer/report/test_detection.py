"""Calibration at publish, and how well its verdicts find corrupted items."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import flows
from tests.conftest import DATA
from trainer.publish.calibration import calibrate
from trainer.report.corruptions import CORRUPTIONS, VECTOR_CORRUPTIONS, corruptions
from trainer.report.detection import against_corruptions, detection


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """500 real digits (500, 28, 28)."""
    with np.load(DATA / "mnist-subset.npz") as file:
        return torch.from_numpy(file["test_images"])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_auroc_is_the_probability_of_a_higher_score(ordinary: list[int], anomalous: list[int]) -> None:
    found = detection(torch.tensor(ordinary), torch.tensor(anomalous))
    wins = sum((f > o) + 0.5 * (f == o) for f in anomalous for o in ordinary)
    assert found.auroc == pytest.approx(wins / len(ordinary) / len(anomalous))


def test_false_positives_are_counted_at_95_percent_true_positives() -> None:
    ordinary, anomalous = torch.arange(100), torch.arange(50, 150)
    assert detection(ordinary, anomalous).fpr_at_95_tpr == pytest.approx(0.45)
    assert detection(ordinary, anomalous + 100).fpr_at_95_tpr == 0


@pytest.mark.parametrize("colour", [False, True])
def test_corruptions_change_every_image_and_are_reproducible(pixels: Tensor, colour: bool) -> None:
    images = pixels[:20]
    if colour:
        images = images[..., None].expand(-1, -1, -1, 3).contiguous()
    before = images.clone()
    made = corruptions(images)
    assert made.keys() == CORRUPTIONS.keys()
    for name, anomalous in made.items():
        assert anomalous.shape == images.shape, name
        assert anomalous.dtype == torch.uint8, name
        assert bool((anomalous != images).flatten(1).any(dim=1).all()), name
        assert torch.equal(anomalous, corruptions(images)[name]), name
    assert torch.equal(images, before)
    assert torch.equal(made["shuffled pixels"].flatten(1).sort().values, images.flatten(1).sort().values)


@pytest.mark.parametrize("sides", [(12, 20), (6, 6), (5, 9, 3), (1, 30)])
def test_pictures_that_are_narrow_or_not_square_are_corrupted_too(sides: tuple[int, ...]) -> None:
    images = torch.randint(0, 256, (20, *sides), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    made = corruptions(images)
    for name, anomalous in made.items():
        assert anomalous.shape == images.shape, name
        assert bool((anomalous != images).flatten(1).any(dim=1).all()), name
    square = sides[0] == sides[1]
    turned = made["turned by 90 degrees" if square else "turned by 180 degrees"]
    assert torch.equal(turned, images.rot90(1 if square else 2, (1, 2)))
    assert len(made) == len(CORRUPTIONS), "no turn that is not made is named"


def test_a_pasted_square_has_eight_pixels_a_side_where_they_fit() -> None:
    images = torch.zeros(10, 9, 12, dtype=torch.uint8)
    pasted = corruptions(images)["pasted square"].flatten(1)
    assert sorted(pasted.count_nonzero(dim=1).unique().tolist()) in ([64], [0, 64])


def test_each_corruption_of_vectors_keeps_what_it_promises() -> None:
    vectors = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([5.0, 0.0, -5.0])
    made = corruptions(vectors)
    assert made.keys() == VECTOR_CORRUPTIONS.keys()
    assert torch.equal(made["shuffled columns"].sort(dim=0).values, vectors.sort(dim=0).values)
    assert bool((made["uniform in their box"] >= vectors.amin(dim=0)).all())
    torch.testing.assert_close(made["stretched twofold"].mean(dim=0), vectors.mean(dim=0))
    torch.testing.assert_close(made["stretched twofold"].std(dim=0), 2 * vectors.std(dim=0))


def test_detection_figures_say_how_well_the_verdict_finds_each_corruption(pixels: Tensor) -> None:
    flow = flows.nice((28, 28), hidden=[8]).requires_grad_(False)
    flow.initialise(flow.to_continuous(pixels[:200]))
    calibration = calibrate(flow, pixels[200:400])
    assert calibration is not None
    found = against_corruptions(flow, calibration, pixels[400:])
    assert found.keys() == CORRUPTIONS.keys()
    assert found["uniform noise"]["auroc"] > 0.95
    assert found["uniform noise"]["fpr_at_95_tpr"] < 0.05


def test_calibration_splits_the_held_out_items_and_needs_enough_of_them(pixels: Tensor) -> None:
    flow = flows.nice((28, 28), hidden=[8]).requires_grad_(False)
    flow.initialise(flow.to_continuous(pixels))
    calibration = calibrate(flow, pixels[:90])
    assert calibration is not None
    assert (len(calibration.tensors()["fit"]), calibration.size) == (30, 60)
    assert calibrate(flow, pixels[:30]) is None
