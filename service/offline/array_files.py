"""NumPy's own files, read some rows at a time: .npy through a memory map, .npz as a stream."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np

from service.media.items import ItemSpec, checked
from service.media.npy import Array, Header, read_header
from service.offline.printable import printable
from service.offline.remote_files import File, RemoteFile, size_of
from service.offline.unusable import UnusableFile, named

SUFFIXES = (".npy", ".npz")
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError)
"""What a damaged file raises. A KeyError is of a member that is gone. A RuntimeError is of one that is encrypted, or
packed in a way that zipfile does not know."""


@dataclass(frozen=True)
class Stored:
    """One array of a file; ``member`` is which, where the file holds several."""

    name: str
    """For people: see ``printable``."""
    path: File
    member: str | None
    header: Header
    begins: int = 0
    """Of a .npy file: the place of the first number."""

    def count(self, spec: ItemSpec) -> int:
        """How many items it holds: an array of an item's own shape is one."""
        shape = self.header.shape
        return 1 if shape == spec.shape or not shape else shape[0]

    def items(self, spec: ItemSpec, rows: int) -> Iterator[Array]:
        """The array as items of the model (B, *S), in batches of at most so many. Raises UnusableFile."""
        header = self.header
        if header.shape == spec.shape:
            header = header._replace(shape=(1, *header.shape))
        with named(self.name):
            if header.shape[1:] != spec.shape or not header.shape[0]:
                checked(
                    np.broadcast_to(np.zeros((), header.dtype), header.shape), spec, "the array"
                )  # which refuses it
            first = 0
            for batch in self.batches(spec, rows):
                yield checked(batch, spec, "the array", first)
                first += len(batch)

    def batches(self, spec: ItemSpec, rows: int) -> Iterator[Array]:
        """The array as it is stored (B, *S), in batches of at most so many. Raises UnusableFile."""
        header = self.header
        if header.shape == spec.shape:
            header = header._replace(shape=(1, *header.shape))
        with readable(self.name):
            if self.member is None:
                assert isinstance(self.path, Path), "a .npy file at a URL is read by rows_at"
                yield from _cut(np.load(self.path, mmap_mode="r", allow_pickle=False).reshape(header.shape), rows)
            elif header.fortran:  # an item's numbers lie scattered over all of the array
                with _stream(self.path) as file, np.load(file, allow_pickle=False) as archive:
                    yield from _cut(archive[self.member].reshape(header.shape), rows)
            else:
                with (
                    _stream(self.path) as file,
                    zipfile.ZipFile(file) as archive,
                    archive.open(self.member) as stream,
                ):
                    read_header(stream)
                    yield from _streamed(header, stream, rows)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turns what numpy, zipfile and the operating system raise into an UnusableFile that names the file."""
    try:
        yield
    except _UNREADABLE as error:
        raise UnusableFile(f"{name}: cannot be read: {error}") from error


def rows_at(file: RemoteFile, stored: Stored, shape: tuple[int, ...], start: int, stop: int) -> Array:
    """Items ``start`` to ``stop`` (B, *S) of a .npy file at a URL: only their bytes are read. Raises StoreError."""
    header, size, entries = stored.header, stored.header.dtype.itemsize, math.prod(shape)
    if header.shape == shape or not header.fortran:
        first, row = stored.begins, entries * size
        data = file.read_range(first + start * row, first + stop * row)
        order: Literal["F", "C"] = "F" if header.fortran else "C"
        return np.frombuffer(data, header.dtype).reshape((stop - start, *shape), order=order)
    # The numbers that stand at one place of all items lie together, the first index of an item running fastest.
    count = header.shape[0]
    places = (stored.begins + place * count * size for place in range(entries))
    found = file.read_ranges([(at + start * size, at + stop * size) for at in places])
    columns = np.stack([np.frombuffer(data, header.dtype) for data in found], axis=1)
    return columns.reshape(stop - start, *reversed(shape)).transpose(0, *range(len(shape), 0, -1))


def _stream(file: File) -> IO[bytes]:
    return file.open("rb")


def stored_in(path: File) -> list[Stored]:
    """Every array of a .npy or .npz file. Raises UnusableFile."""
    with readable(str(path)), named(str(path)):
        return [_alone(path)] if path.suffix.lower() == ".npy" else _together(path)


def _alone(path: File) -> Stored:
    with path.open("rb") as stream:
        header, start = read_header(stream), stream.tell()
    held = size_of(path) - start
    if held != header.nbytes:
        raise UnusableFile(f"{path}: its header claims {header.nbytes} bytes of numbers; it holds {held}")
    return Stored(printable(path), path, None, header, start)


def _together(path: File) -> list[Stored]:
    found = []
    with _stream(path) as file, zipfile.ZipFile(file) as archive:
        for member in (name for name in archive.namelist() if name.endswith(".npy")):
            with named(f"{path}:{member}"), archive.open(member) as stream:
                name = printable(f"{path}:{member.removesuffix('.npy')}")
                found.append(Stored(name, path, member, read_header(stream)))
    if not found:
        raise UnusableFile(f"{path}: holds no array")
    return found


def _cut(array: Array, rows: int) -> Iterator[Array]:
    for first in range(0, len(array), rows):
        yield array[first : first + rows]


def _streamed(header: Header, stream: IO[bytes], rows: int) -> Iterator[Array]:
    row = header._replace(shape=header.shape[1:]).nbytes
    for first in range(0, header.shape[0], rows):
        count = min(rows, header.shape[0] - first)
        data = stream.read(count * row)
        if len(data) != count * row:
            raise EOFError(f"it ends within item {first + len(data) // row}")
        yield np.frombuffer(data, header.dtype).reshape(count, *header.shape[1:])
