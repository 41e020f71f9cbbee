"""Files of a store: durable writes, and reads that never leave the store and check what they read."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

from model_store.manifest import MANIFEST, FileEntry
from model_store.reference import VERSION

WRITING = ".writing-"
"""Begins the name of a file that is being written and is not yet in its place."""
LARGEST_JSON = 1 << 20
"""Bytes of the largest JSON document that is read."""


class DamagedFile(ValueError):
    """A file is missing, is not a plain file of the store, or does not hold what the manifest says."""


def write_durably(path: Path, data: bytes) -> None:
    """Write and fsync a new file."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, data: bytes) -> None:
    """Replace a file's content in one step: a reader sees the old content or the new, never a part."""
    descriptor, name = tempfile.mkstemp(prefix=WRITING, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp's 0600 would keep out a service that runs as another user
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names_in(directory: Path) -> list[str]:
    """The names of a directory's entries; an empty list where there is no such directory.

    Raises OSError when the directory is there and cannot be listed.
    """
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


def versions_in(directory: Path) -> list[int]:
    """The complete versions in one model's directory, ascending. Raises OSError when it cannot be listed."""
    names = (name for name in names_in(directory) if re.fullmatch(VERSION, name))
    return sorted(int(name) for name in names if _is_complete(directory / name))


def _is_complete(version: Path) -> bool:
    """Whether a version has its manifest. One that cannot be looked at counts: loading it says what is wrong."""
    try:
        return stat.S_ISREG(os.stat(version / MANIFEST).st_mode)
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def read_plain(directory: Path, file: str, largest: int) -> bytes:
    """The bytes of a plain file directly inside ``directory``.

    Raises DamagedFile for a symbolic link, for anything else that is not a plain file, for a file of more than
    ``largest`` bytes, and for one that cannot be read.
    """
    try:
        descriptor = os.open(directory / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DamagedFile(f"{file} is not a plain file")
            if status.st_size > largest:
                raise DamagedFile(f"{file} is larger than the {largest} bytes it should have")
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                return opened.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DamagedFile(f"{file} is missing or cannot be read") from error


def read_checked(directory: Path, file: str, entry: FileEntry) -> bytes:
    """The bytes of a file that the manifest lists. The file is read once: the bytes hashed are the bytes returned."""
    data = read_plain(directory, file, entry.size)
    if len(data) != entry.size:
        raise DamagedFile(f"{file} has {len(data)} bytes, not {entry.size}")
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DamagedFile(f"the sha256 of {file} is not the manifest's")
    return data


def read_object(directory: Path, file: str) -> dict[str, Any]:
    """A small JSON object in UTF-8. Whatever cannot be read as one counts as an empty object."""
    return find_object(directory, file) or {}


def find_object(directory: Path, file: str) -> dict[str, Any] | None:
    """A small JSON object in UTF-8; None where there is nothing that can be read as one."""
    try:
        found = json.loads(read_plain(directory, file, LARGEST_JSON).decode("utf-8-sig"))
    except (ValueError, RecursionError):  # DamagedFile, UnicodeDecodeError and JSONDecodeError are ValueErrors
        return None
    return found if isinstance(found, dict) else None
