"""What a tick of a row costs: as much as its request was admitted with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from service.device.columns import Columns
from service.device.picture_inpaintings import InpaintPictures
from service.device.picture_scores import ScorePictures
from service.device.program import Program
from service.device.programs import Encode, Explain
from service.protocol.messages import Arrays, Kind, Options, Submit
from service.protocol.windows import window_of

NONE: Any = None
"""A model that is not looked at."""


def admitted(kind: Kind, arrays: Arrays, **fields: Any) -> int:
    return Submit(id=1, model="toy@1", kind=kind, deadline=0, arrays=arrays, **fields).cost


def worked_off(program: Program, arrays: Arrays) -> int:
    """By one tick of each row."""
    columns = Columns({name: torch.from_numpy(array) for name, array in arrays.items()})
    costs = program.row_costs(columns)
    assert costs is None or len(costs) == len(columns)
    return len(columns) if costs is None else sum(costs)


def test_of_pictures_of_any_size() -> None:
    arrays = {"items": np.zeros((2, 200, 300), np.uint8), "sides": np.array([[200, 100], [64, 64]])}
    assert worked_off(ScorePictures(NONE), arrays) == admitted("score", arrays) == 5 + 1


def test_of_a_window_of_an_inpainting() -> None:
    hidden = np.zeros((1, 400, 300), bool)
    hidden[:, 40:280, 50:240] = True
    window = window_of(hidden)
    items = np.repeat(window.cut(np.zeros((1, 400, 300), np.uint8)), 3, axis=0)
    cost = admitted("inpaint", {}, n=3, options=Options(steps=7), weight=window.cost)
    assert window.cost > 10
    assert 7 * worked_off(InpaintPictures(NONE, "ascent"), {"items": items}) == cost


def test_of_columns_that_are_explained_and_of_plain_rows() -> None:
    arrays = {"items": np.zeros((4, 9), np.float32)}
    assert worked_off(Explain(NONE), arrays) == admitted("explain", arrays) == 36
    assert worked_off(Encode(NONE), arrays) == admitted("encode", arrays) == 4
