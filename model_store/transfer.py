"""Models to and from a store: as a directory, a zip archive, or a repository in the layout of Hugging Face's hub.

What comes in was made by somebody else. It is read within bounds, copied to a place of its own, loaded there with every
check of the store, and only then published.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from flows import Flow
from model_store import manifest as m
from model_store.containers import Container, open_container
from model_store.errors import StoreError
from model_store.files import LARGEST_JSON, DamagedFile
from model_store.hub_layout import CONFIG, card_in, manifest_in, to_hub
from model_store.loading import first_fault, load_version
from model_store.publication import Publication, Report
from model_store.publishing import Published, publish, published_in, republish, verdicts_of
from model_store.store import Store
from model_store.weights import DamagedTensors, flow_of

Layout = Literal["sluice", "huggingface"]

Watch = Callable[[int, int], None]
"""Is told how much is done, and of how much: bytes, of which each counts again when it is checked or written."""

LARGEST_MODEL = 2**32
"""Bytes of all files of a model that is taken in, together."""
_LARGEST_CARD = 2**20
_GOLDEN = 8
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file in an archive: the same model gives the same bytes."""


def _nobody(done: int, of: int) -> None: ...


def send(
    store: Store, name: str, version: int, target: Path, layout: Layout = "sluice", watch: Watch = _nobody
) -> list[str]:
    """Write a version to a directory, or to a zip archive where the target ends in .zip; the names of its files.

    Its files are checked on the way. Raises StoreError where there is something at the target already.
    """
    manifest = store.manifest(name, version)
    size = sum(entry.size for entry in manifest.files.values())
    files: dict[str, bytes] = {}
    for file in manifest.files:
        files[file] = store.read(name, version, file)
        watch(sum(map(len, files.values())), 2 * size)
    written = store.manifest_bytes(name, version)
    if layout == "huggingface":
        files = to_hub(manifest, json.loads(written), files)
    else:
        files[m.MANIFEST] = written
    if os.path.lexists(target):
        raise StoreError("there is something at the target already")
    try:
        _write(target, files)
    except OSError as error:
        raise StoreError(f"the target cannot be written: {error.strerror}") from error
    watch(2 * size, 2 * size)
    return sorted(files)


def receive(
    store: Store, source: Path, name: str | None = None, largest: int = LARGEST_MODEL, watch: Watch = _nobody
) -> Published:
    """Publish the model in a directory or an archive as the next version of ``name``, or of its own name.

    A version of that name with the same files is not published again. Raises StoreError with the reason where the model
    fails any check; the store is then as it was.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        try:
            manifest = _stage(open_container(source), Path(scratch), largest, watch)
        except DamagedFile as error:
            raise StoreError(f"the model is refused: {error}") from error
        model = load_version(Path(scratch), manifest.name, manifest.version)
        size = 2 * sum(entry.size for entry in manifest.files.values())
        watch(size, size)
        wanted = name or manifest.name
        for version in reversed(store.versions(wanted)):
            with suppress(StoreError):  # a damaged version holds nothing
                if store.manifest(wanted, version).files == manifest.files:
                    verdicts = verdicts_of(manifest.calibration)
                    return published_in(store, wanted, version, verdicts, new=False)
        return republish(store, model, wanted)


def publish_weights(
    store: Store,
    source: Path,
    name: str,
    golden_items: Tensor | None = None,
    largest: int = LARGEST_MODEL,
    watch: Watch = _nobody,
) -> Published:
    """Publish weights that come without a manifest, as the next version of ``name``.

    ``source`` holds `model.safetensors` and a `config.json` with `architecture` (`name`, `arguments`), `item` (`shape`,
    `dtype`) and, unless it is float32, `weights` (`dtype`); perhaps a README.md. ``golden_items`` (N, *item_shape) are
    a few items for the self-test at every load; without them the flow draws some. The model has no calibration.
    Raises StoreError.
    """
    try:
        container = open_container(source)
        config = _config(container)
        data = container.read(m.WEIGHTS, largest)
        watch(len(data), 2 * len(data))
        flow = flow_of(config.architecture, config.item.shape, config.weights.dtype, data)
        if flow.is_image != (config.item.dtype == "uint8"):
            raise DamagedFile(f"items of {config.item.dtype} do not fit this architecture")
        card = card_in(container.read(m.CARD, _LARGEST_CARD)) if m.CARD in container.names else b""
    except (DamagedFile, DamagedTensors) as error:
        raise StoreError(f"the weights are refused: {error}") from error
    golden = _drawn(flow) if golden_items is None else golden_items
    if tuple(golden.shape[1:]) != tuple(config.item.shape) or not len(golden):
        raise StoreError(f"golden items must be of shape (N, *{tuple(config.item.shape)})")
    publication = Publication(
        flow=flow,
        architecture=config.architecture.name,
        arguments=config.architecture.arguments,
        golden_items=golden,
        weights_dtype=config.weights.dtype,
        provenance={"weights_sha256": hashlib.sha256(data).hexdigest()},
        report=Report(card=card.decode() or f"# {name}\n\nPublished from weights that came without a card.\n"),
    )
    published = publish(store, name, publication)
    watch(2 * len(data), 2 * len(data))
    return published


class _Loose(BaseModel):
    """What a config.json must say; other programs' members are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Weights(_Loose):
    dtype: m.Dtype = "float32"


class _Config(_Loose):
    architecture: m.Architecture
    item: m.Item
    weights: _Weights = _Weights()


def _config(container: Container) -> _Config:
    try:
        return _Config.model_validate_json(container.read(CONFIG, LARGEST_JSON))
    except ValidationError as error:
        raise DamagedFile(f"{CONFIG}: {first_fault(error)}") from error


@torch.no_grad()
def _drawn(flow: Flow) -> Tensor:
    """A few items that the flow draws itself."""
    return flow.to_items(flow.sample(_GOLDEN, torch.Generator().manual_seed(0)))


def _stage(container: Container, scratch: Path, largest: int, watch: Watch) -> m.Manifest:
    """Copy a model's manifest and the files that it lists; the manifest. Raises DamagedFile."""
    hub = m.MANIFEST not in container.names
    if hub and CONFIG not in container.names:
        raise DamagedFile(f"there is neither {m.MANIFEST} nor {CONFIG}")
    document = container.read(CONFIG if hub else m.MANIFEST, LARGEST_JSON)
    if hub:
        document = _manifest_of(document)
    try:
        manifest = m.Manifest.model_validate_json(document)
    except ValidationError as error:
        raise DamagedFile(f"manifest: {first_fault(error)}") from error
    size, done = sum(entry.size for entry in manifest.files.values()), 0
    if size > largest:
        raise DamagedFile(f"its files are larger than the {largest:,} bytes that are taken in")
    entries = dict(manifest.files)
    for file, entry in manifest.files.items():
        if file == CONFIG:  # in the layout of the hub it holds the manifest
            raise DamagedFile(f"the manifest lists {file}, which cannot be a file of a model")
        if (
            hub and file == m.CARD
        ):  # a card may be edited where it is shown: it is text, and nothing is computed from it
            data = card_in(container.read(file, _LARGEST_CARD))
            entries[file] = m.FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        else:
            data = container.read(file, entry.size)
        (scratch / file).write_bytes(data)
        done += entry.size
        watch(done, 2 * size)
    staged = manifest.model_copy(update={"files": entries})
    (scratch / m.MANIFEST).write_bytes(staged.model_dump_json(by_alias=True).encode())
    return staged


def _manifest_of(config: bytes) -> bytes:
    try:
        found: Any = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{CONFIG} is no JSON") from error
    manifest = manifest_in(found) if isinstance(found, dict) else None
    if manifest is None:
        raise DamagedFile(f"{CONFIG} holds no manifest of Sluice's: `sluice publish` takes weights without one")
    return manifest


def _write(target: Path, files: Mapping[str, bytes]) -> None:
    """Write beside the target, then rename: nobody sees a part of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
    try:
        if target.suffix.lower() == ".zip":
            with zipfile.ZipFile(scratch / "archive", "w") as archive:
                for name in sorted(files):
                    archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), files[name])
            (scratch / "archive").rename(target)
            return
        folder = scratch / "folder"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        folder.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
