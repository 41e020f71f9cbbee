"""What the verdict is tried on: the test set that a model's own training left alone, and sets foreign to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from model_store import LoadedModel
from trainer.data import FASHION_MNIST, KMNIST, MNIST, SVHN, IdxImages, files, idx
from trainer.errors import DataError
from trainer.presets import PRESETS
from trainer.report.corruptions import corruptions

NEAR = {("mnist", "emnist-digits"), ("emnist-digits", "mnist")}
"""Pairs of sets that show the same things."""

_TEST = "t10k-images-idx3-ubyte.gz"
_EMNIST = "emnist-mnist/emnist-mnist-test-images-idx3-ubyte.gz"


def own_items(model: LoadedModel, data_dir: Path | None) -> tuple[Tensor, Tensor]:
    """Training and test set of the data that a published model was trained on. Raises DataError."""
    preset = PRESETS.get(str(model.manifest.provenance.get("preset")))
    if preset is None or preset.data.name != model.manifest.provenance.get("data"):
        raise DataError(f"{model.reference}: no preset tells what it was trained on")
    return preset.data.read(data_dir)


def foreign_sets(model: LoadedModel, test: Tensor, data_dir: Path | None) -> dict[str, Tensor]:
    """Every set that a model's items are not from, by name: other test sets where they fit it, and corrupted copies."""
    home, shape = model.manifest.provenance["data"], model.flow.item_shape
    others = _other_sets(shape, data_dir) if model.flow.is_image else {}
    fitted = {name: _fitted(images, shape) for name, images in others.items() if name != home}
    return {**{name: images for name, images in fitted.items() if images is not None}, **corruptions(test)}


def _other_sets(shape: tuple[int, ...], data_dir: Path | None) -> dict[str, Tensor]:
    """Those that are at hand; a line on stderr names each that is not."""
    readers: dict[str, Callable[[], Tensor]] = {
        source.name: partial(_idx_test, source, data_dir) for source in (MNIST, FASHION_MNIST, KMNIST)
    }
    readers["emnist-digits"] = partial(_emnist, data_dir)
    if len(shape) == 3:
        readers[SVHN.name] = lambda: SVHN.read(data_dir)[1]
    found = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except DataError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    return found


def _idx_test(source: IdxImages, data_dir: Path | None) -> Tensor:
    return idx.read(files.obtain(source.url + _TEST, f"md5:{source.test_md5}", source.name, data_dir))


def _emnist(data_dir: Path | None) -> Tensor:
    """The digits of EMNIST, upright: its files hold them lying down."""
    if data_dir is None or not (data_dir / _EMNIST).is_file():
        raise DataError(f"wants --data-dir with {_EMNIST} in it")
    return idx.read(data_dir / _EMNIST).transpose(1, 2).contiguous()


def _fitted(images: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Images padded with black to a larger shape and with a channel a colour, or None where that cannot be."""
    height, width = shape[:2]
    if images.shape[1] > height or images.shape[2] > width or images.ndim > len(shape) + 1:
        return None
    if images.ndim < len(shape) + 1:
        images = images[..., None].expand(*images.shape, shape[2])
    top, left = (height - images.shape[1]) // 2, (width - images.shape[2]) // 2
    framed = torch.zeros(len(images), *shape, dtype=torch.uint8)
    framed[:, top : top + images.shape[1], left : left + images.shape[2]] = images
    return framed
