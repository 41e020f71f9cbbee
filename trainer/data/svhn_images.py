"""SVHN: digits from house fronts, cropped to 32x32 (Netzer et al. 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.data import files, mat
from trainer.errors import DataError


@dataclass(frozen=True)
class Svhn:
    """Colour images (32, 32, 3) uint8 from Matlab files that hold X of shape (32, 32, 3, N)."""

    name: str
    title: str
    licence: str
    url: str
    train_checksum: str
    test_checksum: str

    def read(self, data_dir: Path | None) -> tuple[Tensor, Tensor]:
        return (
            self._images("train_32x32.mat", self.train_checksum, data_dir),
            self._images("test_32x32.mat", self.test_checksum, data_dir),
        )

    def _images(self, file: str, checksum: str, data_dir: Path | None) -> Tensor:
        path = files.obtain(self.url + file, checksum, self.name, data_dir)
        (images,) = mat.read(path, "X")
        if images.shape[:-1] != (32, 32, 3) or images.dtype != np.uint8:
            raise DataError(f"{path}: X is {images.dtype} of shape {images.shape}, not uint8 of (32, 32, 3, N)")
        return torch.from_numpy(np.ascontiguousarray(images.transpose(3, 0, 1, 2)))


SVHN = Svhn(
    name="svhn",
    title="SVHN",
    licence="Y. Netzer et al. 2011 (Street View House Numbers); for non-commercial use, citation asked",
    url="http://ufldl.stanford.edu/housenumbers/",
    train_checksum="md5:e26dedcc434d2e4c54c9b2d4a06d8373",
    test_checksum="md5:eb5a983be6a315427106f1b164d9cef3",
)
