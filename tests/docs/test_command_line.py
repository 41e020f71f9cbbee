"""docs/command-line.md: its config publishes, and it lists every command. Its blocks are run by test_blocks.py."""

from __future__ import annotations

import json
from pathlib import Path

import click
import torch

from flows import build
from model_store import Store, publish_weights
from model_store.weights import flow_to_bytes
from service.cli import main as sluice
from tests.docs.blocks import ROOT, blocks_of

PAGE = "docs/command-line.md"


def test_the_config_of_the_page_publishes(tmp_path: Path) -> None:
    (text,) = (block.text for block in blocks_of(PAGE) if block.language == "json")
    config = json.loads(text)["architecture"]
    torch.manual_seed(0)
    source = tmp_path / "mine"
    source.mkdir()
    (source / "config.json").write_text(text)
    (source / "model.safetensors").write_bytes(
        flow_to_bytes(build(config["name"], (2,), config["arguments"]), "float32")
    )
    assert publish_weights(Store(tmp_path / "store"), source, "mine").version == 1


def test_every_command_is_on_the_page() -> None:
    page = (ROOT / PAGE).read_text("utf-8")
    assert all(f"`{name}" in page for name in sluice.list_commands(click.Context(sluice)))
