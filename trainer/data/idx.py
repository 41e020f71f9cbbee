"""The idx format of MNIST's files: two zero bytes, a type, a rank, big-endian extents, data."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.errors import DataError

_UINT8 = 0x08


def read(path: Path) -> Tensor:
    """The uint8 array in a gzipped idx file, of the shape that its header states.

    Raises DataError with the file's name when the file is not complete gzip, not idx of uint8, or longer or shorter
    than its header says.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UINT8:
        raise DataError(f"{path}: not an idx file of unsigned bytes (it begins {content[:4].hex(' ')})")
    rank = content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(f"{path}: truncated inside its header")
    shape = [int(extent) for extent in np.frombuffer(content, ">u4", count=rank, offset=4)]
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path}: holds {len(content) - start} bytes of data, which do not fill its shape {tuple(shape)}"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
