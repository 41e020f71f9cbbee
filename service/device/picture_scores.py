"""Scores of pictures of any size: one picture a tick, tile by tile, so that memory does not grow with the request."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from service.device.columns import Columns
from service.device.programs import Score
from service.protocol.messages import picture_costs


@dataclass(frozen=True)
class ScorePictures(Score):
    """Likelihoods, verdicts and, where asked for, maps of pictures of any size.

    items (B, H, W[, C]) filled up to one size, sides (B, 2) of the pictures themselves, seed (B,) -> what ``Score``
    gives, dimensions (B,), and with ``maps`` rarity (B, H, W), NaN beyond a picture, and place_p_value (B, H, W).
    """

    kind = "score_pictures"
    size: ClassVar[int | None] = 1  # a picture may have hundreds of tiles, and other requests wait while a tick goes on
    recordable: ClassVar[bool] = False  # what it computes depends on the sides

    maps: bool = False

    def row_costs(self, columns: Columns) -> list[int]:
        found: list[int] = picture_costs(columns["sides"].numpy()).tolist()
        return found

    @property
    def key(self) -> Hashable:
        return self.kind, self.model.reference, self.maps

    def compute(self, columns: Columns) -> Columns:
        calibration = self.model.pictures
        assert calibration is not None
        items, rows = columns["items"], []
        for picture, (height, width), seed in zip(items, columns["sides"].tolist(), columns["seed"], strict=True):
            found = calibration.assess(picture[:height, :width], seed)
            row = {
                "log_likelihood": found.log_likelihood,
                "dimensions": torch.tensor(picture[:height, :width].numel(), device=items.device),
                "p_value": found.verdict.p_value[0],
                "test_p_values": torch.cat(list(found.verdict.tests.values())),
                "statistics": found.statistics,
                "scores": found.verdict.scores[0],
            }
            if self.maps:
                row["rarity"] = _spread(found.rarity, items.shape, torch.nan)
                row["place_p_value"] = _spread(found.place_p_value, items.shape, 1.0)
            rows.append(row)
        return Columns({name: torch.stack([row[name] for row in rows]) for name in rows[0]})


def _spread(places: Tensor, shape: torch.Size, beyond: float) -> Tensor:
    """Places (h, w) in the corner of (H, W), given the shape (B, H, W, ...)."""
    whole = places.new_full(shape[1:3], beyond)
    whole[: places.shape[0], : places.shape[1]] = places
    return whole
