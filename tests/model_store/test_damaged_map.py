"""A map file whose hash is right and whose content is not: the version is refused by name, and nothing breaks."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model_store import ModelRefused, Store, default_root

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A copy of a model that ships with a map, in a store of its own."""
    shipped = Store(default_root())
    _, number = shipped.resolve("mnist-nice")
    target = tmp_path / "mnist-nice" / str(number)
    shutil.copytree(default_root() / "mnist-nice" / str(number), target)
    return target


def rewrite(version: Path, change: Change) -> None:
    """Change the map's tensors and have the manifest vouch for the new bytes."""
    file, manifest = version / "map.safetensors", version / "manifest.json"
    save_file(change(load_file(file)), file)
    data, document = file.read_bytes(), json.loads(manifest.read_text("utf-8"))
    document["files"][file.name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    manifest.write_text(json.dumps(document), "utf-8")


def without_maxima(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name != "maxima"}


def with_fewer(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, "maxima": tensors["maxima"][:-1].contiguous()}


def of_another_rank(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, "mean": torch.zeros(2, dtype=tensors["mean"].dtype)}


def without_dimensions(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros((), dtype=tensor.dtype) for name, tensor in tensors.items()}


@pytest.mark.parametrize("change", [without_maxima, with_fewer, of_another_rank, without_dimensions])
def test_a_map_that_holds_something_else_is_refused(version: Path, change: Change) -> None:
    rewrite(version, change)
    with pytest.raises(ModelRefused, match=r"map\.safetensors"):
        Store(version.parents[1]).load("mnist-nice", int(version.name))


def test_a_map_that_is_not_listed_is_refused(version: Path) -> None:
    manifest = version / "manifest.json"
    document = json.loads(manifest.read_text("utf-8"))
    del document["files"]["map.safetensors"]
    manifest.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ModelRefused, match=r"lists no map\.safetensors"):
        Store(version.parents[1]).load("mnist-nice", int(version.name))
