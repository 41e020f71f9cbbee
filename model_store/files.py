"""Files that are whole or not there: durable writes, and reads that stay inside the store and check what they read."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from model_store.manifest import MANIFEST, FileEntry

LARGEST_JSON = 1 << 20


class DamagedFile(ValueError):
    """A file is missing, is not a plain file of the store, or does not hold what the manifest says."""


def write_durably(path: Path, data: bytes) -> None:
    """Write and fsync a new file."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, data: bytes) -> None:
    """Swap a file's content in one step: a reader sees the old or the new."""
    descriptor, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
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


def versions_in(directory: Path) -> list[int]:
    """The complete versions of one model's directory, ascending."""
    if not directory.is_dir():
        return []
    found = (entry.name for entry in directory.iterdir() if (entry / MANIFEST).is_file())
    return sorted(int(name) for name in found if name.isascii() and name.isdigit() and not name.startswith("0"))


def read_plain(directory: Path, file: str, largest: int) -> bytes:
    """The bytes of a plain file directly inside ``directory``; symbolic links and larger files are refused."""
    try:
        descriptor = os.open(directory / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise DamagedFile(f"{file} is missing or cannot be read") from error
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedFile(f"{file} is not a plain file")
        if status.st_size > largest:
            raise DamagedFile(f"{file} is larger than the {largest} bytes it should have")
        return opened.read()


def read_checked(directory: Path, file: str, entry: FileEntry) -> bytes:
    """The bytes of a file that the manifest lists. What is hashed is what is returned: the file is read once."""
    data = read_plain(directory, file, entry.size)
    if len(data) != entry.size:
        raise DamagedFile(f"{file} has {len(data)} bytes, not {entry.size}")
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise DamagedFile(f"the sha256 of {file} is not the manifest's")
    return data
