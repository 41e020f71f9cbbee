"""Files and folders to batches of pictures of any size, for a model that takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pictures import Preparation
from pictures.preparation import LEAST_SIDE, MOST_FILE_PIXELS
from service.media.any_pictures import Prepared, SentPictures, filled_up, pictures_of_array, prepared
from service.media.pictures import open_picture
from service.offline import array_files
from service.offline.sources import ANY_PICTURES, Batch, Place, Source, bytes_of, files_of
from service.offline.unusable import UnusableFile, named
from service.protocol.errors import Problem

_ROWS, _PIXELS = 32, 2**22
"""Pictures of a batch at most, and about how many pixels."""
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")
"""Over HTTP the service takes PNG and JPEG alone."""
_ENDINGS = (*ANY_PICTURES, *array_files.SUFFIXES)


def picture_sources(paths: Sequence[Path], preparation: Preparation, fit: bool) -> list[Source]:
    """What there is to score, in the order given. A picture that cannot be used is told in its row.

    Raises UnusableFile for a file of another kind, and for a folder without any of a known one.
    """
    found: list[Source] = []
    album: list[Path] = []
    for path in (file for given in paths for file in files_of(given, _ENDINGS)):
        if path.suffix.lower() in ANY_PICTURES:
            album.append(path)
            continue
        found += [_album(album, preparation, fit), _arrays(path, preparation)]
        album = []
    return [source for source in [*found, _album(album, preparation, fit)] if source.count]


def _album(paths: Sequence[Path], preparation: Preparation, fit: bool) -> Source:
    def batches(rows: int) -> Iterator[Batch]:
        each: list[Prepared] = []
        places: list[Place] = []
        faults: dict[int, str] = {}
        for path in paths:
            try:
                picture = open_picture(bytes_of(path), "the file", _FORMATS, MOST_FILE_PIXELS)
                found = prepared(picture, preparation, fit, "the picture")
            except Problem as problem:
                faults[len(each)] = problem.detail
                colours = () if preparation.colours == 1 else (preparation.colours,)
                found = Prepared(np.zeros((LEAST_SIDE, LEAST_SIDE, *colours), np.uint8), (1.0, 1.0))
            if each and (len(each) == min(rows, _ROWS) or not _fits([*each, found])):
                yield _batch(places, filled_up(each), faults)
                each, places, faults = [], [], {0: faults[len(each)]} if len(each) in faults else {}
            each.append(found)
            places.append(Place(str(path), 0))
        if each:
            yield _batch(places, filled_up(each), faults)

    return Source(len(paths), batches)


def _fits(each: Sequence[Prepared]) -> bool:
    height, width = (max(one.pixels.shape[side] for one in each) for side in (0, 1))
    return bool(len(each) * height * width <= _PIXELS)


def _batch(places: list[Place], sent: SentPictures, faults: dict[int, str]) -> Batch:
    own = {row: reason for row, reason in faults.items() if row < len(places)}
    return Batch(places, sent.items, own, sent)


def _arrays(path: Path, preparation: Preparation) -> Source:
    """One array of a .npy file, or all arrays of an .npz: each a picture, or a batch of one size."""
    stored = array_files.stored_in(path)
    axes = 2 if preparation.colours == 1 else 3

    def batches(_rows: int) -> Iterator[Batch]:
        for one in stored:
            with named(one.name):
                array = _loaded(path, one.member)
                whole = array[None] if array.ndim == axes else array
                for first in range(0, max(len(whole), 1) if whole.ndim else 1, _ROWS):
                    sent = pictures_of_array(whole[first : first + _ROWS], preparation, "the array")
                    yield _batch([Place(one.name, first + row) for row in range(len(sent.items))], sent, {})

    return Source(sum(1 if len(one.header.shape) <= axes else one.header.shape[0] for one in stored), batches)


def _loaded(path: Path, member: str | None) -> np.ndarray:
    try:
        if member is None:
            return np.atleast_1d(np.load(path, mmap_mode="r", allow_pickle=False))
        with np.load(path, allow_pickle=False) as archive:
            return np.atleast_1d(archive[member])
    except (OSError, ValueError, KeyError) as error:
        raise UnusableFile(f"{path}: cannot be read: {error}") from error
