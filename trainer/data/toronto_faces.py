"""The Toronto Face Database, from a file that its makers give out on request only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.data import files, mat
from trainer.errors import DataError

_FILE = "TFD_48x48.mat"
_TEST = 3
"""In the table of folds 0 means a face without a label, 1 training, 2 validation, 3 test."""


@dataclass(frozen=True)
class TorontoFaces:
    """Grey faces (48, 48) uint8: the first fold's test set to test on, and all others to train on.

    The file may not be redistributed and no hash of it is published, so only the shapes in it are checked.
    """

    name: str = "tfd"
    title: str = "the Toronto Face Database"
    licence: str = "J. Susskind, A. Anderson and G. Hinton 2010; given out on request only"

    def read(self, data_dir: Path | None) -> tuple[Tensor, Tensor]:
        folders = [] if data_dir is None else files.places(self.name, data_dir)
        path = files.locate(_FILE, folders)
        if path is None:
            where = " and ".join(str(folder) for folder in folders) or "no folder: --data-dir names one"
            raise DataError(f"{_FILE}: missing, and given out by its makers only; looked in {where}")
        images, folds = mat.read(path, "images", "folds")
        if images.ndim != 3 or images.shape[1:] != (48, 48) or folds.ndim != 2 or len(folds) != len(images):
            raise DataError(f"{path}: images {images.shape} and folds {folds.shape} are not (N, 48, 48) and (N, 5)")
        faces = torch.from_numpy(images.astype(np.uint8))
        test = torch.from_numpy(folds[:, 0] == _TEST)
        return faces[~test], faces[test]


TFD = TorontoFaces()
