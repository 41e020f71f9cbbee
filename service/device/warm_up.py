"""The first passes of a model: they load kernels and plan memory, so that no request waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from model_store import LoadedModel
from service.device.columns import Columns, padded_lengths
from service.device.picture_inpaintings import InpaintPictures
from service.device.picture_scores import ScorePictures
from service.device.program import Program
from service.device.programs import Inpaint, Sample, Score
from service.protocol.defaults import INPAINT_METHOD

_SECONDS = 1.0
"""After this time the larger batches of a model are left to the first requests, whose own passes take longer."""

Pass = Callable[[Program, Columns], None]
"""Takes rows through the device and returns when they are done."""


def warm_up(model: LoadedModel, run: Pass) -> None:
    """One pass of every kind that is asked often: what a model needs before it serves."""
    one = torch.ones(1, dtype=torch.int64)
    items = _items(model)
    run(Sample(model), Columns({"key": one, "temperature": one.double()}))
    if model.manifest.pictures is not None:
        run(InpaintPictures(model, INPAINT_METHOD), _climbing(items, one))
        whole = _picture(model, items)
        sides = torch.tensor([whole.shape[1:3]])
        run(ScorePictures(model), Columns({"items": whole, "sides": sides, "seed": one}))
        return
    run(Inpaint(model, INPAINT_METHOD), _climbing(items, one))
    run(Score(model), Columns({"items": items, "seed": one}))


def warm_up_sizes(model: LoadedModel, run: Pass, largest: int) -> None:
    """Scores of each size of batch up to ``largest`` rows, the smallest first, beside the first requests."""
    if model.manifest.pictures is not None:  # one picture a tick
        return
    began = time.monotonic()
    one, items, score = torch.ones(1, dtype=torch.int64), _items(model), Score(model)
    for size in padded_lengths(largest, score.rows_multiple):
        rows = min(size, largest)
        run(score, Columns({"items": items.expand(rows, *items.shape[1:]), "seed": one.expand(rows)}))
        if time.monotonic() - began > _SECONDS:
            return


def _items(model: LoadedModel) -> torch.Tensor:
    flow = model.flow
    return torch.zeros((1, *flow.item_shape), dtype=torch.uint8 if flow.is_image else flow.dtype)


def _picture(model: LoadedModel, items: torch.Tensor) -> torch.Tensor:
    """A picture that the calibration can judge: of aligned pictures one of their size, else a crop as in ``items``."""
    size = None if model.pictures is None else model.pictures.aligned_size
    return items if size is None else items.new_zeros((1, *size, *items.shape[3:]))


def _climbing(items: torch.Tensor, one: torch.Tensor) -> Columns:
    return Columns(
        {
            "items": items,
            "hidden": torch.ones_like(items, dtype=torch.bool),
            "key": one,
            "seed": one,
            "steps": one,
            "step_size": one.float(),
            "temperature": one.float(),
        }
    )
