"""Inpaintings of pictures of any size, as the device computes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flows.pauses import pausing
from model_store import Store
from service.device.columns import Columns
from service.device.picture_inpaintings import InpaintPictures
from tests.service.pictures import publish_pictures


def window(height: int, width: int) -> Columns:
    """One row, the middle of which is hidden."""
    hidden = torch.zeros(1, height, width, 3, dtype=torch.bool)
    hidden[:, 4:8, 4:8] = True
    one = torch.ones(1, dtype=torch.int64)
    return Columns(
        {
            "items": torch.full((1, height, width, 3), 120, dtype=torch.uint8),
            "hidden": hidden,
            "key": one,
            "seed": one,
            "steps": one,
            "step_size": one.double(),
            "temperature": one.double(),
        }
    )


@pytest.mark.parametrize("method", ["ascent", "langevin"])
def test_a_step_pauses_whatever_the_size_of_its_window(tmp_path: Path, method: str) -> None:
    publish_pictures(tmp_path, colours=3)
    store = Store(tmp_path)
    program = InpaintPictures(store.load(*store.resolve("surface")), method)
    counts: list[int] = []
    for sides in ((16, 16), (24, 20)):
        rows = program.start(window(*sides))
        alone, pauses = program.step(rows), iter(range(1000))
        with pausing(program.flow, lambda pauses=pauses: next(pauses)):  # type: ignore[misc]
            beside = program.step(rows)
        assert torch.equal(beside.x, alone.x)
        counts.append(next(pauses))
    assert counts[0] == counts[1] > 10
