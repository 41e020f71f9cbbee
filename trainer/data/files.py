"""The original files of a data set: from a folder of the user's, or downloaded once; either way checked by md5."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pooch

from trainer.errors import DataError


def find(name: str, md5: str, folders: list[Path]) -> Path:
    """The first of the folders' files of that name. Raises DataError when there is none or its md5 differs."""
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{name}: missing; looked in {' and '.join(str(folder) for folder in folders)}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise DataError(f"{path}: md5 is {found}, not {md5}: the file is damaged or another one")
    return path


def download(url: str, md5: str, folder: Path) -> Path:
    """The file behind the URL, from the folder if it lies there already. Raises DataError when it cannot be had."""
    try:
        return Path(pooch.retrieve(url, known_hash=f"md5:{md5}", fname=url.rsplit("/", 1)[-1], path=folder))
    except (OSError, ValueError) as error:  # no connection or a status of 400 and above; another md5
        raise DataError(f"{url}: {error}") from error
