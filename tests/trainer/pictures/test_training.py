"""The schedule of one flow of crops: whichever ends first, its steps or its time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trainer.pictures import training
from trainer.presets.pictures import PICTURES
from trainer.run.settings import Computing

TINY = replace(PICTURES, arguments={**PICTURES.arguments, "width": 8, "blocks": 1, "components": 2}, batch_size=2)


def test_the_rate_has_fallen_where_the_most_steps_come_before_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def rate(preset: object, step: int, share: float) -> float:
        shares.append(share)
        return 1e-3

    monkeypatch.setattr(training, "learning_rate", rate)
    monkeypatch.setattr(training, "_MOST_STEPS", 24)
    crops = torch.randint(256, (8, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    run = training.Run(
        TINY, torch.device("cpu"), Computing(precision="float32", graph=False), lambda _: None, lambda: False
    )
    found = training.trained(
        run, training.CropSplits(crops[:6], crops[6:]), steps=None, seconds=1e6, seed=0, directory=None, experiment={}
    )
    assert found.steps == 24
    assert shares == pytest.approx([number / 24 for number in range(24)], abs=1e-3)
    assert len(found.history) == 12
