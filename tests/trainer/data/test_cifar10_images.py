"""CIFAR-10 is read from the official archive or from sheets of tiles, with the same result."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.data import CIFAR10, Cifar10
from trainer.errors import DataError

BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 6, 32, 32, 3), np.uint8)
"""Six batches of six images."""


def _records(images: np.ndarray) -> bytes:
    return b"".join(bytes([label]) + image.transpose(2, 0, 1).tobytes() for label, image in enumerate(images))


def _archive(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


WHOLE = {name: _records(images) for name, images in zip(BATCHES, IMAGES, strict=True)} | {"readme.html": b"<html>"}


def _archived(folder: Path, content: bytes) -> Cifar10:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cifar-10-binary.tar.gz").write_bytes(content)
    return replace(CIFAR10, checksum=f"md5:{hashlib.md5(content).hexdigest()}")


def _in_sheets(folder: Path, format_name: str = "webp") -> Cifar10:
    sheets = []
    for number, images in enumerate(IMAGES):
        tiles = images.reshape(2, 3, 32, 32, 3).swapaxes(1, 2).reshape(64, 96, 3)
        path = folder / f"{number}.{format_name}"
        Image.fromarray(tiles).save(path, lossless=True)
        sheets.append((path.name, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"))
    return replace(CIFAR10, sheets=sheets)


def _holds_the_images(dataset: Cifar10, folder: Path) -> bool:
    train, test = dataset.read(folder)
    return train.equal(torch.from_numpy(IMAGES[:5].reshape(30, 32, 32, 3))) and test.equal(torch.from_numpy(IMAGES[5]))


@pytest.mark.parametrize("below", ["", "cifar10"])
def test_the_archives_colour_planes_become_pixels(tmp_path: Path, below: str) -> None:
    assert _holds_the_images(_archived(tmp_path / below, _archive(WHOLE)), tmp_path)


@pytest.mark.parametrize("format_name", ["webp", "png"])
def test_sheets_can_replace_the_archive(tmp_path: Path, format_name: str) -> None:
    assert _holds_the_images(_in_sheets(tmp_path, format_name), tmp_path)


def test_a_sheet_with_another_hash_is_refused(tmp_path: Path) -> None:
    dataset = _in_sheets(tmp_path)
    Image.new("RGB", (96, 64)).save(tmp_path / "5.webp", lossless=True)
    with pytest.raises(DataError, match=r"5\.webp: sha256 is [0-9a-f]{64}, not"):
        dataset.read(tmp_path)


def test_a_sheet_of_other_tiles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar.png"
    Image.new("RGB", (96, 50)).save(path)
    dataset = replace(CIFAR10, sheets=[("cifar.png", f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}")])
    with pytest.raises(DataError, match=r"cifar\.png: not a sheet of RGB tiles of 32x32"):
        dataset.read(tmp_path)


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: missing; looked in .*cifar10 and "):
        CIFAR10.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_archive(WHOLE)[:-3000], "cannot be unpacked"),
        (b"<html>not here</html>", "cannot be unpacked"),
        (_archive({name: WHOLE[name] for name in BATCHES[1:]}), r"holds no data_batch_1\.bin"),
        (_archive(WHOLE | {"test_batch.bin": WHOLE["test_batch.bin"][:-1]}), r"test_batch\.bin: 18437 bytes"),
        (_archive(WHOLE | {"test_batch.bin": b""}), r"test_batch\.bin: 0 bytes"),
    ],
)
def test_damage_is_named_with_the_file(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        _archived(tmp_path, content).read(tmp_path)
    assert "cifar-10-binary.tar.gz" in str(caught.value)
