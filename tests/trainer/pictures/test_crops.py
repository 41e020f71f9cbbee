"""Crops, mirrored and turned, and the templates that go with them."""

from __future__ import annotations

import torch

from trainer.pictures.crops import Augmentation, cut
from trainer.pictures.templates import LONGEST, fitted, template_of, templates_by_half
from trainer.pictures.trial import Difference


def test_crops_lie_within_pictures_and_reach_every_corner() -> None:
    picture = torch.arange(12 * 10, dtype=torch.uint8).reshape(12, 10)
    crops = cut([picture], 8, 200, seed=0)
    assert crops.shape == (200, 8, 8)
    corners = {int(crop[0, 0]) for crop in crops}
    assert corners == {10 * row + column for row in range(5) for column in range(3)}


def test_crops_are_mirrored_and_turned_as_asked() -> None:
    picture = torch.arange(64, dtype=torch.uint8).reshape(8, 8)
    kinds = {
        "plain": (Augmentation(), 1),
        "flip": (Augmentation(flip=True), 2),
        "turn": (Augmentation(turn=True), 4),
        "both": (Augmentation(flip=True, turn=True), 8),
    }
    for augmentation, count in kinds.values():
        found = cut([picture], 8, 200, 0, augmentation)
        assert len({tuple(each.flatten().tolist()) for each in found}) == count
        assert all(torch.equal(each.sort().values, picture.flatten()) for each in found.flatten(1))


def test_changed_pictures_are_ordinary_only_where_that_is_sure() -> None:
    assert Difference(0.0, 0.01).harmless
    assert Difference(-0.1, 0.02).harmless
    assert not Difference(0.05, 0.001).harmless
    assert not Difference(0.0, 0.05).harmless


def test_a_template_is_the_mean_of_the_other_half_at_the_size_of_a_picture() -> None:
    dark, light = torch.full((16, 24, 3), 10, dtype=torch.uint8), torch.full((16, 24, 3), 30, dtype=torch.uint8)
    assert torch.equal(template_of([dark, light]), torch.full((16, 24, 3), 20, dtype=torch.uint8))
    assert torch.equal(templates_by_half([dark, dark, light])[0], light)
    assert torch.equal(templates_by_half([dark, dark, light])[1], light)
    assert torch.equal(templates_by_half([dark, dark, light])[2], dark)
    large = torch.full((300, 200), 7, dtype=torch.uint8)
    small = template_of([large])
    assert max(small.shape) == LONGEST
    assert torch.equal(fitted(small, large), large)
