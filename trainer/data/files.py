"""The original files of a data set: from a folder of the user's, or downloaded once; either way checked by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pooch

from trainer.errors import DataError, MissingData


def obtain(url: str, checksum: str, data_set: str, data_dir: Path | None) -> Path:
    """The file behind a URL: from the user's folder if one is given, else downloaded into the user's cache.

    ``checksum`` names its algorithm: ``md5:f68b...``. Raises DataError when the file cannot be had, or is another one.
    """
    name = url.rsplit("/", 1)[-1]
    if data_dir is None:
        return download(url, checksum, Path(pooch.os_cache("sluice")) / data_set)
    return find(name, checksum, places(data_set, data_dir))


def places(data_set: str, data_dir: Path) -> list[Path]:
    """Where a data set's files may lie in the user's folder: in one of their own, or loose."""
    return [data_dir / data_set, data_dir]


def lies(name: str, folders: Sequence[Path]) -> Path | None:
    """The first of the folders' files of that name."""
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def find(name: str, checksum: str, folders: Sequence[Path]) -> Path:
    """The first of the folders' files of that name. Raises DataError when there is none or its hash differs."""
    path = lies(name, folders)
    if path is None:
        raise MissingData(f"{name}: missing; looked in {' and '.join(str(folder) for folder in folders)}")
    algorithm, expected = checksum.split(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if found != expected:
        raise DataError(f"{path}: {algorithm} is {found}, not {expected}: the file is damaged or another one")
    return path


def download(url: str, checksum: str, folder: Path) -> Path:
    """The file behind the URL, from the folder if it lies there already. Raises DataError when it cannot be had."""
    try:
        return Path(pooch.retrieve(url, known_hash=checksum, fname=url.rsplit("/", 1)[-1], path=folder))
    except OSError as error:  # no connection, or a status of 400 and above
        raise MissingData(f"{url}: {error}") from error
    except ValueError as error:  # another hash
        raise DataError(f"{url}: {error}") from error
