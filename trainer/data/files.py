"""The original files of a data set: from the user's folder or downloaded once, and checked by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pooch

from trainer.errors import DataError, MissingData


def obtain(url: str, checksum: str, data_set: str, data_dir: Path | None) -> Path:
    """The file behind a URL: from the user's folder if one is given, else downloaded into the user's cache.

    ``checksum`` names its algorithm: ``md5:f68b...``. Raises MissingData when the file is not there or cannot be
    downloaded, and DataError when its hash differs.
    """
    name = url.rsplit("/", 1)[-1]
    if data_dir is None:
        return download(url, checksum, Path(pooch.os_cache("sluice")) / data_set)
    return find(name, checksum, places(data_set, data_dir))


def places(data_set: str, data_dir: Path) -> list[Path]:
    """The folders where a data set's files may lie: ``data_dir/data_set``, then ``data_dir``."""
    return [data_dir / data_set, data_dir]


def locate(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of that name in the first folder that has it, or None."""
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def find(name: str, checksum: str, folders: Sequence[Path]) -> Path:
    """The file of that name in the first folder that has it.

    Raises MissingData when no folder has it, and DataError when its hash differs.
    """
    path = locate(name, folders)
    if path is None:
        raise MissingData(f"{name}: missing; looked in {' and '.join(str(folder) for folder in folders)}")
    algorithm, expected = checksum.split(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if found != expected:
        raise DataError(f"{path}: {algorithm} is {found}, not {expected}: the file is damaged or another one")
    return path


def download(url: str, checksum: str, folder: Path) -> Path:
    """The file behind a URL, downloaded into a folder unless it is there already.

    Raises MissingData when it cannot be downloaded, and DataError when its hash differs.
    """
    try:
        return Path(pooch.retrieve(url, known_hash=checksum, fname=url.rsplit("/", 1)[-1], path=folder))
    except OSError as error:  # no connection, or a status of 400 and above
        raise MissingData(f"{url}: {error}") from error
    except ValueError as error:  # another hash
        raise DataError(f"{url}: {error}") from error
