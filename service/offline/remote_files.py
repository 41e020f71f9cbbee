"""Files at the URLs of an object store, read by ranges, with what the readers of files need of a path."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

from model_store.remote.objects import Missing, Objects, Stat
from service.offline.unusable import UnusableFile

_BUFFER = 8 * 2**20
"""Bytes of one read of a file that is gone through: a request for each of them."""
_TOGETHER = 16
"""Requests at a time, and small files that are read ahead."""


class RemoteFile:
    """An object of an object store as a file that can be read. Errors of the storage are StoreErrors."""

    __slots__ = ("_key", "_objects", "size", "version")

    def __init__(self, objects: Objects, key: str, stat: Stat) -> None:
        self._objects, self._key = objects, key
        self.size = stat.size
        self.version = stat.etag or stat.changed  # changes when the object does

    def __str__(self) -> str:
        return f"{self._objects.url}/{self._key}"

    @property
    def name(self) -> str:
        return PurePosixPath(self._key).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self._key).suffix

    @property
    def parent(self) -> str:
        return str(self).rpartition("/")[0]

    def open(self, mode: str = "rb") -> IO[bytes]:  # noqa: ARG002 (as of a path)
        """A stream to read, which may be moved. It holds ``_BUFFER`` bytes at a time."""
        return io.BufferedReader(_Ranges(self), _BUFFER)

    def read_bytes(self) -> bytes:
        found = bytearray()
        self._objects.read(self._key, self.size, found.extend)
        return bytes(found)

    def read_range(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop``."""
        return b"".join(
            self._objects.read_range(self._key, at, min(at + _BUFFER, stop)) for at in range(start, stop, _BUFFER)
        )

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several ranges, some at a time."""
        with ThreadPoolExecutor(_TOGETHER) as pool:
            return list(pool.map(lambda each: self.read_range(*each), ranges))


File = Path | RemoteFile


class _Ranges(io.RawIOBase):
    """The bytes of a file, each read a request."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + min(len(buffer), _BUFFER), self._file.size)
        if stop <= self._at:
            return 0
        data = self._file.read_range(self._at, stop)
        buffer[: len(data)] = data
        self._at = stop
        return len(data)


def files_at(url: str, known: tuple[str, ...]) -> list[RemoteFile]:
    """The file at a URL, or those below it, whose names end as ``known``, by their names. Raises UnusableFile."""
    url = url.rstrip("/")
    folder, _, name = url.rpartition("/")
    if name.lower().endswith(known) and not folder.endswith(("/", ":")):
        objects = Objects(folder)
        with suppress(Missing):
            return [RemoteFile(objects, name, objects.stat(name))]
    objects = Objects(url)
    found = {key: stat for key, stat in objects.below("").items() if key.lower().endswith(known)}
    if not found:
        raise UnusableFile(f"{url}: holds no file that ends in {', '.join(known)}")
    return [RemoteFile(objects, key, found[key]) for key in sorted(found, key=lambda key: key.split("/"))]


def with_contents(files: Sequence[RemoteFile]) -> Iterator[tuple[RemoteFile, bytes | None]]:
    """Small files with their bytes, in order, read some at a time; None for one that is gone. Raises StoreError."""

    def content(file: RemoteFile) -> bytes | None:
        with suppress(Missing):
            return file.read_bytes()
        return None

    left = iter(files)
    with ThreadPoolExecutor(_TOGETHER) as pool:
        running: list[tuple[RemoteFile, Future[bytes | None]]] = []
        for file in left:
            running = [(each, pool.submit(content, each)) for each in (file, *islice(left, _TOGETHER - 1))]
            for each, future in running:
                yield each, future.result()


def size_of(file: File) -> int:
    """Bytes of a file."""
    return file.size if isinstance(file, RemoteFile) else file.stat().st_size


def mark_of(file: File) -> str:
    """Changes when a file's name, size or content does, as far as the storage tells without reading it."""
    if isinstance(file, RemoteFile):
        return f"{file.name}\0{file.size}\0{file.version}\n"
    status = file.stat()
    return f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n"
