"""Hidden directories in which versions are written, and what a publisher that was killed left of them.

A publisher holds a lock on its directory, which ends with its process however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model_store.files import WRITING, names_in

_DRAFT = ".publishing-"
_YOUNG = 60.0
"""Seconds for which nothing is swept: a publisher locks its directory a moment after it has made it."""


@contextmanager
def draft_directory(parent: Path) -> Iterator[Path]:
    """A new hidden directory in ``parent``, locked; removed when the block is left by an error."""
    temporary = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=parent))
    descriptor = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def sweep(directory: Path) -> None:
    """Remove what publishers that no longer run left in a model's directory."""
    oldest = time.time() - _YOUNG
    for name in names_in(directory):
        path = directory / name
        with suppress(OSError):  # another publisher sweeps as well
            if not name.startswith((_DRAFT, WRITING)) or path.lstat().st_mtime > oldest:
                continue
            if name.startswith(WRITING):
                path.unlink()
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its publisher runs
                shutil.rmtree(path)
            finally:
                os.close(descriptor)
