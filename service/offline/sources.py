"""Files and folders to batches of items, read as they are needed: no file is in memory as a whole but a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from service.media.any_pictures import SentPictures
from service.media.items import ItemSpec
from service.media.npy import Array
from service.media.pictures import open_picture, to_pixels
from service.offline import array_files, table_files
from service.offline.printable import printable
from service.offline.unusable import UnusableFile, named
from tables.reading import SUFFIXES, is_table

PICTURES = (".png", ".jpg", ".jpeg", ".jfif")
ANY_PICTURES = (*PICTURES, ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pbm", ".pgm", ".ppm", ".pnm")
"""Those of models that take pictures of any size: what their trainer reads. Of several in a file the first counts."""
ENDINGS = (*PICTURES, *array_files.SUFFIXES, *SUFFIXES)


class Place(NamedTuple):
    """Where an item was found."""

    file: str
    """Its name for people: see ``printable``."""
    item: int
    """Its index in the file, from 0."""


class Batch(NamedTuple):
    places: list[Place]
    items: Array
    """(B, *S), as a user of the service would send them; rows that cannot be scored hold anything finite."""
    faults: Mapping[int, str] = MappingProxyType({})
    """Rows of the batch that cannot be scored, by their index: why."""
    sent: SentPictures | None = None
    """Of a model that takes pictures of any size: the same items, with the size of each."""


@dataclass(frozen=True)
class Source:
    """Files whose items share batches: one of many items, or pictures of one each."""

    count: int
    """How many items there are, as far as a header tells."""
    batches: Callable[[int], Iterator[Batch]]
    """In batches of at most so many. Raises UnusableFile."""


def sources(paths: Sequence[Path], spec: ItemSpec, fit: bool, tell: Callable[[str], object] = str) -> list[Source]:
    """What there is to score, in the order given; a folder's files in the order of their names, folders below it too.

    ``tell`` hears notes for people, such as columns that were ignored. Raises UnusableFile for a file of another kind,
    and for a folder without any of a known one.
    """
    found: list[Source] = []
    pictures: list[Path] = []
    for path in (file for given in paths for file in files_of(given, ENDINGS)):
        suffix = path.suffix.lower()
        if suffix in PICTURES:
            pictures.append(path)
            continue
        found += _album(pictures, spec, fit)
        pictures = []
        found += [_table(path, spec, tell)] if is_table(path) else _arrays(path, spec)
    return found + _album(pictures, spec, fit)


def files_of(given: Path, known: tuple[str, ...]) -> list[Path]:
    """A file, or those of a folder and the folders below it, whose names end as ``known``. Raises UnusableFile."""
    if not given.is_dir():
        if not given.name.lower().endswith(known):
            raise UnusableFile(f"{given}: files to score end in {', '.join(known)}")
        return [given]
    files = list(_below(given, known))
    if not files:
        raise UnusableFile(f"{given}: holds no file that ends in {', '.join(known)}")
    return [Path(path) for path in sorted(files, key=lambda path: path.split(os.sep))]


def _below(folder: Path | str, known: tuple[str, ...]) -> Iterator[str]:
    """Files of known names in a folder and those below it, in any order. A folder that may not be read is left out.

    So are hidden files and folders: systems keep notes and thumbnails there under the names of pictures. A directory
    tells which of its entries are files. Asking for each of a hundred thousand would take seconds.
    """
    entries: list[os.DirEntry[str]] = []
    with suppress(PermissionError), os.scandir(folder) as found:
        entries += found
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, known)
        elif entry.name.lower().endswith(known) and (
            entry.is_file(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_file())
        ):
            yield entry.path


def _album(paths: list[Path], spec: ItemSpec, fit: bool) -> list[Source]:
    def batches(rows: int) -> Iterator[Batch]:
        left = iter(paths)
        while some := list(islice(left, rows)):
            pixels = np.stack([_picture(path, spec, fit) for path in some])
            yield Batch([Place(printable(path), 0) for path in some], pixels)

    return [Source(len(paths), batches)] if paths else []


def _picture(path: Path, spec: ItemSpec, fit: bool) -> np.ndarray:
    with named(path):
        return to_pixels(open_picture(bytes_of(path), "the file"), spec.shape, fit, "the picture")


def bytes_of(path: Path) -> bytes:
    """A file's content. Raises UnusableFile."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableFile(f"{path}: cannot be read: {error.strerror}") from error


def _arrays(path: Path, spec: ItemSpec) -> list[Source]:
    def source(stored: array_files.Stored) -> Source:
        def batches(rows: int) -> Iterator[Batch]:
            first = 0
            for items in stored.items(spec, rows):
                yield Batch([Place(stored.name, first + row) for row in range(len(items))], items)
                first += len(items)

        return Source(stored.count(spec), batches)

    return [source(stored) for stored in array_files.stored_in(path)]


def _table(path: Path, spec: ItemSpec, tell: Callable[[str], object]) -> Source:
    name = printable(path)

    def batches(rows: int) -> Iterator[Batch]:
        for places, items, faults in table_files.rows_of(path, spec, rows, tell):
            yield Batch([Place(name, place) for place in places.tolist()], items, faults)

    return Source(table_files.rows_in(path), batches)
