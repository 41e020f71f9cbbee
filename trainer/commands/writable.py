"""Whether a model can be published, before the training that would otherwise be late."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from model_store import Store


def check_writable(store: Path | Store, name: str) -> None:
    """Raise OSError where the folder of a name in a store cannot be written, or made. URLs are not tried."""
    if isinstance(store, Path):
        folder = (store / name).absolute()
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))
