"""Calibration at publish, and the figures that a card states about it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import flows
from tests.conftest import Digits
from trainer.calibration import calibrate
from trainer.detection import detection
from trainer.foreign import CORRUPTIONS, corruptions


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
def test_corruptions_change_every_set_and_are_the_same_every_time(digits: Digits, colour: bool) -> None:
    images = digits.test[:20]
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


def test_calibration_splits_what_was_held_out_and_promises_nothing_from_too_little(digits: Digits) -> None:
    flow = flows.nice((28, 28), hidden=[8]).requires_grad_(False)
    flow.initialise(flow.to_continuous(digits.train))
    calibration = calibrate(flow, digits.test[:90])
    assert calibration is not None
    assert (len(calibration.fit), len(calibration.reference)) == (30, 60)
    assert calibrate(flow, digits.test[:30]) is None
