"""A training on a device that is not the CPU ends in a model: tables, points and pictures."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests.flows.pretended_device import DEVICE, PretendedDevice
from trainer.commands.train import main


@pytest.fixture(autouse=True)
def _on_the_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for command in ("train", "train_pictures"):
        monkeypatch.setattr(f"trainer.commands.{command}.choose_device", lambda _: DEVICE)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Pretended")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with PretendedDevice([]):
        yield


def published(folder: Path, *arguments: str) -> dict[str, object]:
    """The provenance of the one model that the command publishes."""
    where = ["--store", str(folder / "store"), "--run-dir", str(folder / "run"), "--no-graph"]
    result = CliRunner().invoke(main, [*arguments, *where, "--precision", "float32"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (manifest,) = (folder / "store").glob("*/1/manifest.json")
    found: dict[str, object] = json.loads(manifest.read_text("utf-8"))["provenance"]
    return found


def test_points(tmp_path: Path) -> None:
    assert published(tmp_path, "moons-nice", "--limit", "1500", "--epochs", "1")["device"] == "Pretended"


def test_a_table_with_missing_cells(tmp_path: Path) -> None:
    chance, rows = random.Random(0), ["load,temperature,line,failed"]
    for number in range(120):
        load = chance.gauss(0, 1)
        temperature = "" if number % 9 == 0 else f"{load + chance.gauss(0, 0.1):.3f}"
        rows.append(f"{load:.3f},{temperature},{chance.choice('ABC')},{number % 2}")
    (tmp_path / "machines.csv").write_text("\n".join(rows), "utf-8")
    table = str(tmp_path / "machines.csv")
    assert published(tmp_path, "table", "--data", table, "--label", "failed", "--epochs", "1")["device"] == "Pretended"


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    noise = np.random.default_rng(0)
    for number in range(30):
        grey = noise.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(grey).save(tmp_path / f"pictures/{number}.png")
    short = ("--steps", "2", "--no-flip", "--no-turn")
    assert published(tmp_path, "pictures", "--data", str(tmp_path / "pictures"), *short)["device"] == "Pretended"
