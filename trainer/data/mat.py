"""Arrays from Matlab's .mat files, the format of SVHN and of the Toronto Face Database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.errors import DataError, missing_extra


def read(path: Path, *names: str) -> list[npt.NDArray[Any]]:
    """The variables of these names in a file. Raises DataError with the file's name when it lacks one."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise missing_extra(f"{path}: to read Matlab's files", "scipy", "data") from error
    try:
        variables = loadmat(path, variable_names=names)
    except Exception as error:  # scipy raises whatever its parser stumbles over: struct.error, TypeError, KeyError ...
        raise DataError(f"{path}: not a readable Matlab file: {error}") from error
    missing = [name for name in names if name not in variables]
    if missing:
        raise DataError(f"{path}: holds no variable {', '.join(missing)}")
    return [np.asarray(variables[name]) for name in names]
