"""The folder that a bulk run writes: a directory, or what lies below a URL of an object store."""

from __future__ import annotations

import fcntl
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from model_store.files import replace_durably, sync_directory
from model_store.remote.objects import Missing, Objects
from service.offline.remote_files import RemoteFile
from service.offline.unusable import UnusableFile, writable
from service.settings import location

_LOCK = "_lock"
_HIDDEN = ".part-"
"""Begins the name of a part that is being written."""
_LARGEST = 2**28
"""Bytes of the largest document of a run that is read: it names every file of the input that is no picture."""


class OutputFolder(ABC):
    """Where the parts of a run and its two documents lie. As a text it is the path or the URL."""

    @abstractmethod
    def alone(self) -> AbstractContextManager[None]:
        """Make the folder, and keep other runs out of it where they would do harm. Raises UnusableFile."""

    @abstractmethod
    def names(self) -> list[str]:
        """What is in it, whoever wrote it. Raises StoreError."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A document; None where there is none. Raises UnusableFile or StoreError."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> None:
        """Write a document, unless there is one: whoever reads it back finds which is there.

        Raises UnusableFile or StoreError.
        """

    @abstractmethod
    def replace(self, name: str, data: bytes) -> None:
        """Write a document over what is there. Raises UnusableFile or StoreError."""

    @abstractmethod
    def publish(self, name: str, table: Any) -> None:
        """Write a part's rows, a pyarrow table, which appear as a whole. Raises UnusableFile or StoreError."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """A part, to read."""


def folder_at(place: Path | str) -> OutputFolder:
    """The folder at a path, or at a URL. Raises StoreError for a URL that cannot be opened."""
    found = location(place)
    return RemoteFolder(found) if isinstance(found, str) else LocalFolder(found.absolute())


class LocalFolder(OutputFolder):
    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UnusableFile(f"{self}: cannot be written: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UnusableFile(f"{self}: another run writes into it") from error
            for left in self._path.glob(f"{_HIDDEN}*"):  # of a killed run
                left.unlink()
            yield
        finally:
            os.close(descriptor)

    def alone(self) -> AbstractContextManager[None]:
        return self._locked()

    def names(self) -> list[str]:
        return [name for name in os.listdir(self._path) if name != _LOCK]

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnusableFile(f"{self._path / name}: cannot be read: {error.strerror}") from error

    def create(self, name: str, data: bytes) -> None:
        if not (self._path / name).exists():
            self.replace(name, data)

    def replace(self, name: str, data: bytes) -> None:
        with writable(self._path / name):
            replace_durably(self._path / name, data)

    def publish(self, name: str, table: Any) -> None:
        hidden = self._path / f"{_HIDDEN}{name}.{os.getpid()}"
        with writable(self._path / name):
            with hidden.open("wb") as stream:
                _write(table, stream)
                stream.flush()
                os.fsync(stream.fileno())
            hidden.replace(self._path / name)
            sync_directory(self._path)

    def open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")


class RemoteFolder(OutputFolder):
    """Objects below a URL. An object appears as a whole, so nothing has a hidden name.

    Two runs at once are not kept apart: a lock would outlive a run that was killed. They have the same job, or the
    second is refused, so they write the same parts, and the work is done twice.
    """

    def __init__(self, url: str) -> None:
        self._objects = Objects(url.rstrip("/"))

    def __str__(self) -> str:
        return self._objects.url

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    def names(self) -> list[str]:
        return list(self._objects.below(""))

    def read(self, name: str) -> bytes | None:
        try:
            return self._objects.read_small(name, _LARGEST)
        except Missing:
            return None

    def create(self, name: str, data: bytes) -> None:
        self._objects.create(name, data)

    def replace(self, name: str, data: bytes) -> None:
        self._objects.replace(name, data)

    def publish(self, name: str, table: Any) -> None:
        stream = io.BytesIO()
        _write(table, stream)
        self._objects.replace(name, stream.getvalue())

    def open(self, name: str) -> IO[bytes]:
        return RemoteFile(self._objects, name, self._objects.stat(name)).open()


def _write(table: Any, stream: IO[bytes]) -> None:
    from pyarrow import parquet

    parquet.write_table(table, stream, row_group_size=max(table.num_rows, 1))
