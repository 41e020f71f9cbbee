"""Folders of pictures to train on, and a flow that is trained in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.service.pictures import surface
from trainer.presets.pictures import PICTURES

TINY = {"width": 4, "blocks": 1, "components": 2, "joint": True, "anywhere": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty-three grey pictures of several sizes in two folders, one damaged file, and a file that is no picture."""
    for number, item in enumerate(surface(33)):
        path = tmp_path / "good" / ("a" if number % 2 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(path)
    (tmp_path / "good/broken.png").write_bytes((tmp_path / "good/a/1.png").read_bytes()[:200])
    (tmp_path / "good/notes.txt").write_text("taken on Tuesday")
    return tmp_path / "good"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Thirty grey pictures of 12x12."""
    (tmp_path / "small").mkdir()
    for number, item in enumerate(surface(30)):
        Image.fromarray(item[:12, :12]).save(tmp_path / f"small/{number}.png")
    return tmp_path / "small"


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.commands.train_pictures.PICTURES", replace(PICTURES, arguments=TINY, batch_size=4))
    monkeypatch.setattr("trainer.pictures.folds._CHECKED", 4)
