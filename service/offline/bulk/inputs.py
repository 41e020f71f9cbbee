"""Files of a bulk run, of which any range of items can be read: arrays, pictures, tables."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from service.media.items import ItemSpec, checked
from service.media.npy import Array
from service.offline import array_files, table_files
from service.offline.array_files import Stored
from service.offline.bulk.decoding import Chunk, Decoder
from service.offline.bulk.job import InputNote
from service.offline.bulk.picture_decoding import Decoded
from service.offline.printable import printable
from service.offline.remote_files import File, RemoteFile, files_at, mark_of
from service.offline.sources import ENDINGS, PICTURES, files_of
from service.offline.unusable import named
from tables.reading import is_table

F = TypeVar("F", bound=File)
_Known = Mapping[tuple[str, str], int]
"""Items of inputs by their name and fingerprint."""


class Input(ABC):
    """One file of many items, or pictures of one each. ``note`` describes it."""

    def __init__(self, name: str, count: Callable[[], int], files: Sequence[File], known: _Known) -> None:
        name, fingerprint = printable(name), _fingerprint(files)
        counted = known.get((name, fingerprint))
        self.note = InputNote(name, count() if counted is None else counted, fingerprint)

    @abstractmethod
    def chunks(self, first: int, stop: int, rows: int) -> Iterator[Chunk]:
        """Items ``first`` to ``stop`` in chunks of at most so many. Raises UnusableFile."""


def inputs_of(
    given: Sequence[Path | str], decoder: Decoder, tell: Callable[[str], object], known: Sequence[InputNote] = ()
) -> list[Input]:
    """The inputs in the order given; a folder's files in the order of their names, folders below it too.

    A text is a URL. ``tell`` hears notes for people, such as columns that were ignored. An input that is as it was when
    it was ``known`` is not counted again. Raises UnusableFile, or StoreError where a URL cannot be read.
    """
    found: list[Input] = []
    pictures: list[File] = []
    counts = {(note.name, note.fingerprint): note.count for note in known}

    def close_album() -> None:
        here = [file for file in pictures if isinstance(file, Path)]
        there = [file for file in pictures if isinstance(file, RemoteFile)]
        if here:
            found.append(Album(here, decoder))
        if there:
            found.append(_RemoteAlbum(there, decoder))
        pictures.clear()

    for path in (file for each in given for file in _files(each)):
        if path.suffix.lower() in PICTURES:
            if pictures and type(path) is not type(pictures[-1]):  # pictures here and at a URL are read differently
                close_album()
            pictures.append(path)
            continue
        close_album()
        if is_table(path):
            found.append(_Table(path, decoder, tell, counts))
        else:
            found += [
                (_Array if stored.member is None else _Member)(stored, decoder)
                for stored in array_files.stored_in(path)
            ]
    close_album()
    return found


def _files(given: Path | str) -> Sequence[File]:
    return files_at(given, ENDINGS) if isinstance(given, str) else files_of(given, ENDINGS)


class Album(Input):
    """Pictures of this machine; a damaged one gets a reason and no figures."""

    def __init__(self, paths: list[Path], decoder: Decoder) -> None:
        super().__init__(str(paths[0].parent), lambda: len(paths), paths, {})
        self.decoder = decoder.pictures
        self.decoded: Callable[[Sequence[Path]], Decoded] = self.decoder.files
        """Reads pictures: here, unless processes do."""
        self._paths = paths

    def chunks(self, first: int, stop: int, rows: int) -> Iterator[Chunk]:
        return _pictures(self._paths, first, stop, rows, lambda paths: self.decoded(paths))


class _RemoteAlbum(Input):
    """Pictures at URLs."""

    def __init__(self, files: list[RemoteFile], decoder: Decoder) -> None:
        super().__init__(str(files[0].parent), lambda: len(files), files, {})
        self._files, self._decoder = files, decoder

    def chunks(self, first: int, stop: int, rows: int) -> Iterator[Chunk]:
        return _pictures(self._files, first, stop, rows, self._decoder.remote_pictures)


class _Array(Input):
    """A .npy file. It is mapped for one chunk at a time, so that pages that were read do not stay with the process."""

    def __init__(self, stored: Stored, decoder: Decoder) -> None:
        _check_shape(stored, decoder.spec)
        super().__init__(stored.name, lambda: stored.count(decoder.spec), [stored.path], {})
        self._stored, self._decoder = stored, decoder

    def chunks(self, first: int, stop: int, rows: int) -> Iterator[Chunk]:
        for start in range(first, stop, rows):
            yield _chunk(self._stored.name, start, self._rows(start, min(start + rows, stop)), self._decoder)

    def _rows(self, start: int, stop: int) -> Array:
        if isinstance(self._stored.path, RemoteFile):
            return array_files.rows_at(self._stored.path, self._stored, self._decoder.spec.shape, start, stop)
        with array_files.readable(self._stored.name):
            mapped = np.load(self._stored.path, mmap_mode="r", allow_pickle=False)
            return np.array(mapped.reshape(-1, *self._decoder.spec.shape)[start:stop])


class _Sequential(Input):
    """A file that can only be read from its beginning; what was read stays where it is for the next range."""

    _at = 0
    _open: Iterator[Chunk] | None = None
    _left: Chunk | None = None

    @abstractmethod
    def _all(self, rows: int) -> Iterator[Chunk]:
        """The whole file in chunks of at most so many."""

    def chunks(self, first: int, stop: int, rows: int) -> Iterator[Chunk]:
        if self._open is None or first < self._at:
            self._open, self._left, self._at = self._all(rows), None, 0
        while self._at < stop:
            chunk = self._left if self._left is not None else next(self._open)
            begins, ends = max(first - self._at, 0), min(len(chunk), stop - self._at)
            self._left = chunk.cut(ends, len(chunk)) if ends < len(chunk) else None
            self._at += ends
            if begins < ends:
                yield chunk.cut(begins, ends)


class _Member(_Sequential):
    """An array in a .npz archive, which is unpacked as it is read."""

    def __init__(self, stored: Stored, decoder: Decoder) -> None:
        _check_shape(stored, decoder.spec)
        super().__init__(stored.name, lambda: stored.count(decoder.spec), [stored.path], {})
        self._stored, self._decoder = stored, decoder

    def _all(self, rows: int) -> Iterator[Chunk]:
        first = 0
        for batch in self._stored.batches(self._decoder.spec, rows):
            yield _chunk(self._stored.name, first, batch, self._decoder)
            first += len(batch)


class _Table(_Sequential):
    def __init__(self, path: File, decoder: Decoder, tell: Callable[[str], object], known: _Known) -> None:
        super().__init__(str(path), lambda: table_files.exact_rows_in(path, decoder.spec), [path], known)
        self._path, self._decoder, self._tell = path, decoder, tell

    def _all(self, rows: int) -> Iterator[Chunk]:
        spec = self._decoder.spec
        if self._decoder.completing and spec.table is not None:
            spec = spec._replace(table=spec.table._replace(takes_missing=True))
        for places, entries, bad in table_files.rows_of(self._path, spec, rows, self._tell):
            items, hidden, faults = self._decoder.rows(entries, dict(bad))
            yield Chunk(self.note.name, places, items, faults, hidden)
        self._tell = lambda _: None


def _pictures(
    files: Sequence[F], first: int, stop: int, rows: int, decoded: Callable[[Sequence[F]], Decoded]
) -> Iterator[Chunk]:
    for start in range(first, stop, rows):
        some = files[start : min(start + rows, stop)]
        items, hidden, faults = decoded(some)
        yield Chunk(list(map(printable, some)), np.zeros(len(some), np.int64), items, faults, hidden)


def _chunk(name: str, first: int, batch: Array, decoder: Decoder) -> Chunk:
    items, hidden, faults = decoder.arrays(batch, first)
    return Chunk(name, np.arange(first, first + len(batch)), items, faults, hidden)


def _check_shape(stored: Stored, spec: ItemSpec) -> None:
    shape = stored.header.shape
    if shape != spec.shape and (shape[1:] != spec.shape or not shape[0]):
        with named(stored.name):
            checked(np.broadcast_to(np.zeros((), stored.header.dtype), shape), spec, "the array")  # which refuses it


def _fingerprint(files: Sequence[File]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(mark_of(file).encode(errors="surrogateescape"))  # bytes of a name as they are
    return digest.hexdigest()
