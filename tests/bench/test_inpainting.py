"""What a long measurement of inpainting has found is told before the next part begins."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.inpainting import report


class Measured:
    """A measurement that fails at its second mask."""

    methods = ("ascent",)

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, float]]] = {"PSNR": {}, "SSIM": {}}

    def mask(self, name: str, _: torch.Tensor) -> None:
        if self.tables["PSNR"]:
            raise RuntimeError("no memory is left")
        for digits, table in enumerate(self.tables.values()):
            table[name] = {"ascent": 17.5 + digits}


def test_figures_of_a_mask_are_told_before_the_next_mask(capsys: pytest.CaptureFixture[str]) -> None:
    measured: Any = Measured()
    with pytest.raises(RuntimeError, match="no memory"):
        list(report(measured, {"bottom": torch.ones(1), "right": torch.ones(1)}, 1))
    assert 'bottom: {"PSNR": {"ascent": 17.5}, "SSIM": {"ascent": 18.5}}' in capsys.readouterr().err
