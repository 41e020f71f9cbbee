"""The Toronto Face Database, which is given out on request only: from the file that its owner has."""

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
"""In the table of folds 0 stands for faces without a label, 1 for training, 2 for validation, 3 for the test."""


@dataclass(frozen=True)
class TorontoFaces:
    """Grey faces (48, 48) uint8: all but the first fold's test set to train on.

    Nobody may publish the file and it has no published hash, so that its shape is all that is checked.
    """

    name: str = "tfd"
    title: str = "the Toronto Face Database"
    licence: str = "J. Susskind, A. Anderson and G. Hinton 2010; given out on request only"

    def read(self, data_dir: Path | None) -> tuple[Tensor, Tensor]:
        folders = [] if data_dir is None else files.places(self.name, data_dir)
        path = files.lies(_FILE, folders)
        if path is None:
            where = " and ".join(str(folder) for folder in folders) or "no folder: --data-dir names one"
            raise DataError(f"{_FILE}: missing, and not to be had but from its makers; looked in {where}")
        images, folds = mat.read(path, "images", "folds")
        if images.ndim != 3 or images.shape[1:] != (48, 48) or folds.ndim != 2 or len(folds) != len(images):
            raise DataError(f"{path}: images {images.shape} and folds {folds.shape} are not (N, 48, 48) and (N, 5)")
        faces = torch.from_numpy(images.astype(np.uint8))
        test = torch.from_numpy(folds[:, 0] == _TEST)
        return faces[~test], faces[test]


TFD = TorontoFaces()
