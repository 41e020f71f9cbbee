"""Items from NumPy's .npy and .npz files: images as integers from 0 to 255, vectors as numbers."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.data.vectors import Numbers, vectors
from trainer.errors import DataError

Array = npt.NDArray[Any]


def read(path: Path) -> dict[str, Array]:
    """The arrays in a .npz file by name, or the array of a .npy file under the name "".

    Raises DataError when the file is neither, or when it holds Python objects.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable array: {error}") from error


def items(array: Array, where: str) -> Tensor:
    """Items from an array: (N, D) numbers become float32 vectors; (N, H, W) and (N, H, W, C) integers uint8 images.

    C is 1 or 3; a single channel is dropped. Raises DataError, which begins with ``where``, for anything else.
    """
    if array.ndim == 2:
        if array.dtype.kind not in "iuf":
            raise DataError(f"{where}: its values are {array.dtype}, not numbers")
        columns = [str(index) for index in range(array.shape[1])]
        return vectors(Numbers(columns, array.astype(np.float64)), where)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise DataError(f"{where}: its shape {array.shape} is neither (N, D) nor (N, H, W) nor (N, H, W, 3)")
    if 0 in array.shape[1:]:
        raise DataError(f"{where}: its shape {array.shape} holds no pixels")
    if array.dtype.kind not in "iu":
        raise DataError(f"{where}: images must be integers from 0 to 255, not {array.dtype}")
    if array.size and (array.min() < 0 or array.max() > 255):
        raise DataError(f"{where}: its integers run from {array.min()} to {array.max()}, not from 0 to 255")
    pixels = torch.from_numpy(np.ascontiguousarray(array.astype(np.uint8)))
    return pixels.squeeze(3) if pixels.ndim == 4 and pixels.shape[3] == 1 else pixels
