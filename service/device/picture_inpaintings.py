"""Inpaintings of pictures of any size: of each the window around what is hidden, one row a tick."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from flows import Flow, inpainting
from flows.inpainting import Climb
from service.device.columns import Columns
from service.device.programs import Inpaint
from service.protocol.windows import Window


@dataclass(frozen=True)
class InpaintPictures(Inpaint):
    """Inpaintings of windows of any size, by the flow that draws the model's crops, moved to the window's size.

    As ``Inpaint``, where S is the shape of a window. A row is a batch of its own, so that rows need not have one size.
    """

    kind = "inpaint_pictures"
    size: ClassVar[int | None] = 1
    recordable: ClassVar[bool] = False  # there would be a recording for each size

    def row_costs(self, columns: Columns) -> list[int]:
        count, height, width = columns["items"].shape[:3]
        return [Window(0, height, 0, width).cost] * count

    @property
    def alone(self) -> bool:
        return True

    @property
    def key(self) -> Hashable:
        return self.kind, self.model.reference, self.method

    def start(self, columns: Columns) -> Climb:
        flow = self._flow(columns["items"])
        return self._started(columns, flow, inpainting.survey_for(self.model.survey, flow))

    def step(self, rows: Climb) -> Climb:
        return inpainting.step(self._flow(rows.x), rows)

    def _flow(self, windows: Tensor) -> Flow:
        """The flow for windows (B, h, w[, C]) of this size."""
        pictures = self.model.pictures
        assert pictures is not None
        return pictures.densities[0].sized(windows.shape[1], windows.shape[2])
