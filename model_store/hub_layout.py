"""The layout of a model repository as Hugging Face's hub shows it: card with front matter, config.json, safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model_store import manifest as m
from model_store.files import DamagedFile

CONFIG = "config.json"
_KEY = "sluice"
"""The member of config.json that holds the manifest."""
_FENCE = "---\n"


def to_hub(manifest: m.Manifest, document: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a repository. ``document`` is the manifest as JSON, which goes into config.json unchanged."""
    config = {
        "library_name": "sluice",
        "model_type": manifest.architecture.name,
        "architecture": document["architecture"],
        "item": document["item"],
        "weights": document["weights"],
        _KEY: document,
    }
    card = files[m.CARD].decode("utf-8", "replace")
    return {
        **files,
        m.CARD: f"{_front_matter(manifest)}{card}".encode(),
        CONFIG: (json.dumps(config, indent=1) + "\n").encode(),
    }


def manifest_in(config: Mapping[str, Any]) -> bytes | None:
    """The manifest inside the object of a config.json, as JSON; None where it has none."""
    found = config.get(_KEY)
    return json.dumps(found).encode() if isinstance(found, dict) else None


def card_in(readme: bytes) -> bytes:
    """A card without its front matter. Raises DamagedFile for front matter that does not end."""
    text = readme.decode("utf-8", "replace").replace("\r\n", "\n")
    if not text.startswith(_FENCE):
        return text.encode()
    _, end, card = text[len(_FENCE) :].partition(f"\n{_FENCE}")
    if not end:
        raise DamagedFile(f"the front matter of {m.CARD} does not end")
    return card.encode()


def _front_matter(manifest: m.Manifest) -> str:
    """YAML that a hub shows and searches by. A JSON string is a YAML scalar, so nothing in a name can break it."""
    tags = ["normalizing-flow", "density-estimation", "anomaly-detection", manifest.architecture.name]
    lines = ["library_name: sluice", f"model_name: {json.dumps(manifest.name)}", f"tags: {json.dumps(tags)}"]
    if manifest.item.dtype == "uint8":
        lines.append("pipeline_tag: unconditional-image-generation")
    data = manifest.provenance.get("data")
    if data is not None:
        lines.append(f"datasets: {json.dumps([str(data)])}")
    return _FENCE + "".join(f"{line}\n" for line in lines) + _FENCE
