"""A directory or a zip archive that somebody else made, read file by file within bounds, and never unpacked."""

from __future__ import annotations

import stat
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path

from model_store.errors import StoreError
from model_store.files import DamagedFile, names_in, read_plain

_MOST_ENTRIES = 10_000


class Container(ABC):
    """Named files, all on one level."""

    names: frozenset[str]

    @abstractmethod
    def read(self, name: str, largest: int) -> bytes:
        """The bytes of a file. Raises DamagedFile where it is missing, no plain file, or above ``largest`` bytes."""


class Folder(Container):
    """A directory. Links are not followed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.names = frozenset(names_in(path))
        except OSError as error:
            raise StoreError(f"the directory cannot be read: {error.strerror}") from error

    def read(self, name: str, largest: int) -> bytes:
        return read_plain(self._path, name, largest)


class Archive(Container):
    """A zip archive, whose files may lie in one folder of it.

    Nothing is unpacked, so no name in it becomes a path. A link, an encrypted file and a name that comes twice are
    refused, and no more bytes are inflated than the caller allows.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except Exception as error:  # zipfile raises almost anything on damaged archives
            raise StoreError("it is no directory, and no readable zip archive") from error
        entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        if len(entries) > _MOST_ENTRIES:
            raise StoreError(f"the archive holds more than {_MOST_ENTRIES:,} files")
        top = _common_folder([entry.filename for entry in entries])
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            name = entry.filename[len(top) :]
            if name in self._entries:
                raise StoreError(f"the archive holds {name[:80]!r} twice")
            self._entries[name] = entry
        self.names = frozenset(self._entries)

    def read(self, name: str, largest: int) -> bytes:
        entry = self._entries.get(name)
        if entry is None:
            raise DamagedFile(f"{name} is missing or cannot be read")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.flag_bits & 1:
            raise DamagedFile(f"{name} is not a plain file")
        try:
            with self._archive.open(entry) as file:
                data = file.read(largest + 1)
        except Exception as error:  # zipfile and the decompressors raise almost anything on damaged archives
            raise DamagedFile(f"{name} cannot be read from the archive") from error
        if len(data) > largest:
            raise DamagedFile(f"{name} is larger than the {largest} bytes it should have")
        return data


def open_container(path: Path) -> Container:
    """The directory or the archive at a path. Raises StoreError."""
    if path.is_dir():
        return Folder(path)
    if not path.is_file():
        raise StoreError("there is no such directory or file")
    return Archive(path)


def _common_folder(names: list[str]) -> str:
    """The folder, with its slash, that all files lie in; empty where they lie at the top or in several."""
    tops = {name.partition("/")[0] for name in names}
    if len(tops) != 1 or any("/" not in name for name in names):
        return ""
    return f"{tops.pop()}/"
