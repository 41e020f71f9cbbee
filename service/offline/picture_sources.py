"""Files and folders to batches of pictures of any size, for a model that takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pictures import Preparation
from pictures.preparation import LEAST_SIDE, MOST_FILE_PIXELS
from service.media.any_pictures import Prepared, filled_up, picture_of_array, prepared
from service.media.pictures import open_picture
from service.offline import array_files
from service.offline.printable import printable
from service.offline.sources import ANY_PICTURES, Batch, Place, Source, files_of
from service.offline.unusable import in_options
from service.protocol.errors import Malformed, Problem

_ROWS, _PIXELS = 32, 2**22
"""Pictures of a batch at most, and about how many pixels."""
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM")
"""Over HTTP the service takes PNG and JPEG alone."""
ENDINGS = (*ANY_PICTURES, *array_files.SUFFIXES)


def picture_sources(paths: Sequence[Path], preparation: Preparation, fit: bool) -> list[Source]:
    """What there is to score, in the order given. A picture that cannot be used is told in its row.

    Raises UnusableFile for a file of another kind, and for a folder without any of a known one.
    """
    found: list[Source] = []
    album: list[Path] = []
    for path in (file for given in paths for file in files_of(given, ENDINGS)):
        if path.suffix.lower() in ANY_PICTURES:
            album.append(path)
            continue
        found += [_album(album, preparation, fit), _arrays(path, preparation)]
        album = []
    return [source for source in [*found, _album(album, preparation, fit)] if source.count]


def _album(paths: Sequence[Path], preparation: Preparation, fit: bool) -> Source:
    def read(path: Path) -> Prepared:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Malformed(f"the file cannot be read: {error.strerror}", "the file") from error
        picture = open_picture(content, "the file", _FORMATS, MOST_FILE_PIXELS)
        return prepared(picture, preparation, fit, "the picture")

    def batches(rows: int) -> Iterator[Batch]:
        return _batches(((Place(printable(path), 0), partial(read, path)) for path in paths), preparation, rows)

    return Source(len(paths), batches)


def _arrays(path: Path, preparation: Preparation) -> Source:
    """One array of a .npy file, or all arrays of an .npz: each a picture, or a batch of one size."""
    stored = array_files.stored_in(path)
    axes = 2 if preparation.colours == 1 else 3

    def each() -> Iterator[tuple[Place, Callable[[], Prepared]]]:
        for one in stored:
            array = _loaded(path, one.member)
            pictures = array if len(array) and array.ndim > axes else array[None]
            for row, picture in enumerate(pictures):
                yield Place(one.name, row), partial(picture_of_array, picture, preparation, "the picture", row)

    def batches(rows: int) -> Iterator[Batch]:
        return _batches(each(), preparation, rows)

    counts = (one.header.shape[0] if len(one.header.shape) > axes else 1 for one in stored)
    return Source(sum(max(count, 1) for count in counts), batches)


def _batches(
    found: Iterable[tuple[Place, Callable[[], Prepared]]], preparation: Preparation, rows: int
) -> Iterator[Batch]:
    """Pictures as they are read, in batches that fit a request. One whose reading raises a Problem is a fault."""
    colours = () if preparation.colours == 1 else (preparation.colours,)
    unusable = Prepared(np.zeros((LEAST_SIDE, LEAST_SIDE, *colours), np.uint8), (1.0, 1.0))
    each: list[Prepared] = []
    places: list[Place] = []
    faults: dict[int, str] = {}
    for place, read in found:
        fault = None
        try:
            picture = read()
        except Problem as problem:
            picture, fault = unusable, in_options(problem.detail)
        if each and (len(each) == min(rows, _ROWS) or not _fits([*each, picture])):
            yield _batch(places, each, faults)
            each, places, faults = [], [], {}
        if fault is not None:
            faults[len(each)] = fault
        each.append(picture)
        places.append(place)
    if each:
        yield _batch(places, each, faults)


def _fits(each: Sequence[Prepared]) -> bool:
    height, width = (max(one.pixels.shape[side] for one in each) for side in (0, 1))
    return bool(len(each) * height * width <= _PIXELS)


def _batch(places: list[Place], each: Sequence[Prepared], faults: dict[int, str]) -> Batch:
    sent = filled_up(each)
    return Batch(places, sent.items, faults, sent)


def _loaded(path: Path, member: str | None) -> np.ndarray:
    with array_files.readable(str(path)):
        if member is None:
            return np.atleast_1d(np.load(path, mmap_mode="r", allow_pickle=False))
        with np.load(path, allow_pickle=False) as archive:
            return np.atleast_1d(archive[member])
