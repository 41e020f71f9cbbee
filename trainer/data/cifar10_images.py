"""CIFAR-10, from the binary version of its official archive (the Python version holds pickles)."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from trainer.data import files
from trainer.errors import DataError

_SIDE = 32
_RECORD = 1 + 3 * _SIDE * _SIDE
"""Bytes of an item in the archive: its label, then its planes of red, green and blue."""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cifar10:
    """Colour images (32, 32, 3) uint8.

    The user's folder holds either the archive, or in its place a lossless picture (WebP, PNG) of the tiles of each
    batch. ``sheets`` are the names and hashes of these pictures, that of the test set last.
    """

    name: str
    title: str
    licence: str
    url: str
    checksum: str
    sheets: Sequence[tuple[str, str]]

    def read(self, data_dir: Path | None) -> tuple[Tensor, Tensor]:
        if data_dir is not None:
            folders = files.places(self.name, data_dir)
            if files.locate(self.sheets[0][0], folders):
                *train, test = (_sheet(files.find(*sheet, folders)) for sheet in self.sheets)
                return _tensor(train), _tensor([test])
        archive = files.obtain(self.url, self.checksum, self.name, data_dir)
        names = [f"data_batch_{number}.bin" for number in range(1, 6)]
        *train, test = _batches(archive, [*names, "test_batch.bin"])
        return _tensor(train), _tensor([test])


def _tensor(parts: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))


def _batches(archive: Path, names: list[str]) -> list[Pixels]:
    """The images (N, 32, 32, 3) in each of the archive's files of these names."""
    found: dict[str, Pixels] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                file = tar.extractfile(member) if name in names else None
                if file is not None:
                    found[name] = _records(file.read(), f"{archive}: {member.name}")
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{archive}: cannot be unpacked: {error}") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{archive}: holds no {', '.join(missing)}")
    return [found[name] for name in names]


def _records(content: bytes, where: str) -> Pixels:
    if not content or len(content) % _RECORD:
        raise DataError(f"{where}: {len(content)} bytes are not a whole number of records of {_RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _sheet(path: Path) -> Pixels:
    """The tiles (N, 32, 32, 3) of a picture, row by row."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
    except OSError as error:
        raise DataError(f"{path}: not a picture: {error}") from error
    height, width, *channels = pixels.shape
    if channels != [3] or height % _SIDE or width % _SIDE:
        raise DataError(f"{path}: not a sheet of RGB tiles of {_SIDE}x{_SIDE}: its shape is {pixels.shape}")
    rows, columns = height // _SIDE, width // _SIDE
    tiles = pixels.reshape(rows, _SIDE, columns, _SIDE, 3).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(-1, _SIDE, _SIDE, 3))


CIFAR10 = Cifar10(
    name="cifar10",
    title="CIFAR-10",
    licence="A. Krizhevsky 2009 (Learning multiple layers of features from tiny images); citation asked",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    checksum="md5:c32a1d4ab5d03f1284b67883e8d87530",
    sheets=(
        (
            "cifar10-train-1-images.webp",
            "sha256:0c540445580e2b4751a4fb5e79175f3eced765d47d186c46cf6aaa7a076c47d9",
        ),
        (
            "cifar10-train-2-images.webp",
            "sha256:ecd97fbddf53a95c7a487a46490001fbae20af0d14e0978cf2a8c74001ef5eb5",
        ),
        (
            "cifar10-train-3-images.webp",
            "sha256:577efcbfc9a4ea051e4f915841300a1c1943948d918318615797528bd1931ae3",
        ),
        (
            "cifar10-train-4-images.webp",
            "sha256:a362cd3478100abaef253b26a1c6c0979ac43379b30b03c5c774900ed8f3025c",
        ),
        (
            "cifar10-train-5-images.webp",
            "sha256:dca43ff04bd60b6081d36b131a960c0ab9d7a4c2f6be4dc305f4248586327eb4",
        ),
        (
            "cifar10-test-images.webp",
            "sha256:ff9de491fc23a41297e1e58c42a552efb04f949758a185cc7541e5a51cf1c35f",
        ),
    ),
)
