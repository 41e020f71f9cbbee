"""The measures of the benchmark of pictures, and the surfaces that it cuts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.pictures import KINDS, main, overlap
from bench.pictures_report import report
from bench.surfaces import surface


def test_overlap_is_one_for_a_map_that_is_the_mask_and_small_for_noise() -> None:
    masks = torch.zeros(3, 20, 20, dtype=torch.bool)
    masks[:, 4:9, 4:9] = True
    noise = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    assert overlap(masks + 0.1 * noise, masks) == pytest.approx(1, abs=0.01)
    assert overlap(noise, masks) == pytest.approx(0.15, abs=0.06)  # as many mask pixels as ordinary ones


def test_training_and_test_pictures_share_no_pixel() -> None:
    pytest.importorskip("skimage")
    cut = surface("brick", 64, 6, 4)
    assert cut.train.shape == (6, 64, 64)
    assert cut.test.shape == (4, 64, 64)
    again = surface("brick", 64, 6, 4)
    assert torch.equal(cut.train, again.train)
    with pytest.raises(ValueError, match="no room for three stripes"):
        surface("brick", 256, 1, 1)


def test_sides_for_which_photographs_have_no_room_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["bench.pictures", "--side", "64", "--side", "320"])
    with pytest.raises(SystemExit):
        main()
    assert "--side: more than 256" in capsys.readouterr().err


def test_a_report_has_a_row_for_each_surface_and_defect() -> None:
    row = {"image": 0.9, "pixel": 0.8, "pixel_outside": 0.85, "pro": 0.7, "found": 0.5}
    figures: dict[str, Any] = {
        "methods": {
            "Sluice": {each: dict(row) for each in KINDS},
            "PNG size": {each: {"image": row["pro"] - 0.3} for each in KINDS},
        },
        "alarms": 3,
        "with_region": 2,
        "ordinary": 60,
        "n": 60,
        "map_seconds": 1.2,
        "likelihood_seconds": 1.0,
        "train_cpu_seconds": 90.0,
        "place": False,
        "crops": "as they are",
        "scenes": 21,
        "splits": [0.0, 0.1],
        "split_regions": [0.0, 0.0],
        "known_splits": [0.02, 0.04],
    }
    text = "\n".join(report({("brick", 64): figures}, trained=60, steps=9, memory=900.0))
    assert "| brick | 64 | 0.900 / 0.800 / 0.700 | 0.400 / - / - |" in text
    assert "| brick | 64 | no | as they are | 21 | 0.050 | 0.033 |" in text
    assert "mean of all splits | 0.05 | 0.050 |" in text
    assert "| 0.050, 0.100 | 0.030 |" in text
    assert "| at most 1024 | 900 |" in text
    assert "inside a fault that look as before |  | 0.850 |" in text
    assert "as parts of the fault |  | - |" in text
    assert all(f"| {defect} | 0.900 / 0.800 / 0.700 | 0.50 |" in text for defect in KINDS)
    larger = {**figures, "methods": {"Sluice": figures["methods"]["Sluice"]}}
    both = "\n".join(report({("brick", 64): figures, ("brick", 128): larger}, trained=60, steps=9, memory=None))
    assert "| brick | 128 | 0.900 / 0.800 / 0.700 | - / - / - |" in both
    assert "| **mean** of those measured | | 0.900 / 0.800 / 0.700 | 0.400 / - / - |" in both
