"""Every way in which a published version can be damaged or forged, as a change of its files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

WEIGHTS, GOLDEN, MANIFEST = "model.safetensors", "golden.safetensors", "manifest.json"
Damage = Callable[[Path, Path], None]
"""Given the version's directory and a file that must never come to be: code that is executed makes it."""


class Bomb:
    """Unpickling it executes a command."""

    def __init__(self, marker: Path) -> None:
        self._command = f"touch {marker}"

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def edit(version: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest."""
    manifest = json.loads((version / MANIFEST).read_text())
    change(manifest)
    (version / MANIFEST).write_text(json.dumps(manifest))


def forge(version: Path, file: str, data: bytes) -> None:
    """Replace a file and have the manifest's hash and size agree, as an attacker would."""
    (version / file).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    edit(version, lambda manifest: manifest["files"].__setitem__(file, entry))


def _tensors(change: Callable[[dict[str, torch.Tensor]], object], file: str = WEIGHTS) -> Damage:
    def damage(version: Path, _: Path) -> None:
        tensors = safetensors.torch.load((version / file).read_bytes())
        change(tensors)
        forge(version, file, safetensors.torch.save(tensors))

    return damage


def _matrix(tensors: dict[str, torch.Tensor]) -> str:
    """The name of the largest tensor of floats."""
    # Sorted, since tensors come in any order and several may be as large.
    return max(
        (name for name in sorted(tensors) if tensors[name].is_floating_point()), key=lambda name: tensors[name].numel()
    )


def _one_entry(value: float) -> Damage:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[_matrix(tensors)].view(-1)[0] = value

    return _tensors(change)


def _reshaped(tensors: dict[str, torch.Tensor]) -> None:
    name = _matrix(tensors)
    tensors[name] = tensors[name].flatten()


def _flipped(version: Path, _: Path) -> None:
    data = bytearray((version / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (version / WEIGHTS).write_bytes(data)


def _truncated(version: Path, _: Path) -> None:
    os.truncate(version / WEIGHTS, (version / WEIGHTS).stat().st_size // 2)


def _truncated_and_forged(version: Path, _: Path) -> None:
    data = (version / WEIGHTS).read_bytes()
    forge(version, WEIGHTS, data[: len(data) // 2])


def _torch_file(version: Path, marker: Path) -> None:
    stream = io.BytesIO()
    torch.save({"weight": Bomb(marker)}, stream)
    forge(version, WEIGHTS, stream.getvalue())


def _archive_of_links(version: Path, marker: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        link = zipfile.ZipInfo(WEIGHTS)
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(marker))
    forge(version, WEIGHTS, stream.getvalue())


def _linked(file: str) -> Damage:
    def damage(version: Path, marker: Path) -> None:
        elsewhere = marker.parent / f"elsewhere-{file}"
        (version / file).rename(elsewhere)
        (version / file).symlink_to(elsewhere)

    return damage


def _linked_version(version: Path, marker: Path) -> None:
    elsewhere = marker.parent / "elsewhere"
    version.rename(elsewhere)
    version.symlink_to(elsewhere)


def _foreign_code(version: Path, marker: Path) -> None:
    code = f"import os\nos.system('touch {marker}')\n"
    for name in ("__init__.py", "modeling.py", "sitecustomize.py"):
        (version / name).write_text(code)
    edit(version, lambda manifest: manifest["architecture"].__setitem__("name", "modeling.build"))


def _manifest(change: Callable[[dict[str, Any]], object]) -> Damage:
    return lambda version, _: edit(version, change)


DAMAGES: dict[str, Damage] = {
    "a flipped bit": _flipped,
    "truncated": _truncated,
    "truncated, its hash forged": _truncated_and_forged,
    "weights that are missing": lambda version, _: (version / WEIGHTS).unlink(),
    "golden items that are missing": lambda version, _: (version / GOLDEN).unlink(),
    "a pickle in disguise": lambda version, marker: forge(version, WEIGHTS, pickle.dumps(Bomb(marker))),
    "a torch file in disguise": _torch_file,
    "an archive of links in disguise": _archive_of_links,
    "NaN": _one_entry(float("nan")),
    "infinity": _one_entry(float("inf")),
    # All of a matrix: one entry may belong to a unit that no golden item needs.
    "other weights than the golden ones": _tensors(lambda tensors: tensors[_matrix(tensors)].mul_(3)),
    "another shape": _tensors(_reshaped),
    "another type": _tensors(lambda tensors: tensors.update({_matrix(tensors): tensors[_matrix(tensors)].double()})),
    "a tensor too few": _tensors(lambda tensors: tensors.pop(_matrix(tensors))),
    "a tensor too many": _tensors(lambda tensors: tensors.update(more=torch.zeros(1))),
    "golden items that are NaN": _tensors(
        lambda tensors: [tensor.fill_(float("nan")) for tensor in tensors.values() if tensor.is_floating_point()],
        GOLDEN,
    ),
    "linked weights": _linked(WEIGHTS),
    "a linked manifest": _linked(MANIFEST),
    "a version that is a link": _linked_version,
    "foreign code": _foreign_code,
    "an architecture that is a path": _manifest(lambda m: m["architecture"].__setitem__("name", "../../flows/nice")),
    "arguments without end": _manifest(lambda m: m["architecture"]["arguments"].__setitem__("hidden", [2**30] * 64)),
    "a member that nobody knows": _manifest(lambda manifest: manifest.__setitem__("auto_map", {"AutoModel": "a.b"})),
    "a file outside": _manifest(
        lambda manifest: manifest["files"].__setitem__("../../../etc/passwd", {"sha256": "0" * 64, "size": 1})
    ),
    "no manifest": lambda version, _: (version / MANIFEST).unlink(),
    "a manifest that is cut off": lambda version, _: os.truncate(version / MANIFEST, 100),
}
