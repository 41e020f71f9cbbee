"""What the sender of pictures is told of their sizes and scale."""

from __future__ import annotations

import numpy as np

from service.media.any_pictures import notes_on
from service.protocol.model_info import PicturesInfo
from tests.service.protocol.samples import model_info

SIDES, HALVED = np.array([[24, 24]]), np.array([[2.0, 2.0]])


def test_pictures_that_were_scaled_down_are_of_another_scale() -> None:
    surface = model_info(pictures=PicturesInfo(48, 8, 20, 33, reductions=(1.0, 1.0)))
    (note,) = notes_on(SIDES, HALVED, surface)
    assert note.startswith("1 of 1 pictures were scaled down 2.0 times, those that p-values rest on 1.0 times")
    assert not notes_on(SIDES, HALVED / 2, surface)


def test_a_part_that_was_taken_with_more_pixels_looks_smoother() -> None:
    parts = model_info(pictures=PicturesInfo(24, 8, 24, 24, reductions=(1.0, 1.0), aligned_size=(24, 24)))
    (note,) = notes_on(SIDES, HALVED, parts)
    assert note.endswith("what they show looks smoother or rougher to the model")
