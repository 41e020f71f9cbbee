"""The config.json that docs/command-line.md shows publishes weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from flows import build
from model_store import Store, publish_weights
from model_store.weights import flow_to_bytes
from tests.docs.blocks import blocks_of


def test_the_config_of_the_page_publishes(tmp_path: Path) -> None:
    (text,) = (block.text for block in blocks_of("docs/command-line.md") if block.language == "json")
    config = json.loads(text)["architecture"]
    torch.manual_seed(0)
    source = tmp_path / "mine"
    source.mkdir()
    (source / "config.json").write_text(text)
    (source / "model.safetensors").write_bytes(
        flow_to_bytes(build(config["name"], (2,), config["arguments"]), "float32")
    )
    assert publish_weights(Store(tmp_path / "store"), source, "mine").version == 1
