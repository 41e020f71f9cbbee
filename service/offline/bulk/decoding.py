"""Raw numbers and pictures to items. Whatever cannot be used gets a reason, and the others of its batch are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.media.items import ItemSpec, checked
from service.media.npy import Array, from_npy
from service.media.pictures import open_picture, split_transparency, to_mask, to_pixels
from service.offline.remote_files import File, RemoteFile, with_contents
from service.offline.unusable import UnusableFile, named
from service.protocol.errors import Malformed, Problem

T = TypeVar("T")
Faults = dict[int, str]
_Mask = NDArray[np.bool_]


_FIELD = "the array"


class Decoded(NamedTuple):
    items: Array
    """(B, *S); rows with a fault hold anything finite."""
    hidden: _Mask | None
    """(B, *S) bool: which entries are to be filled in; None where that is not the task."""
    faults: Faults
    """Why rows cannot be used, by their place among these."""


class Chunk(NamedTuple):
    """Items of one input that follow one another."""

    files: str | list[str]
    """The file that holds all of them, or the file of each."""
    places: NDArray[np.int64]
    """(B,): the place of each in its file, from 0."""
    items: Array
    """(B, *S), as a user of the service would send them; rows with a fault hold anything finite."""
    faults: Faults
    """Why rows cannot be used, by their place among these."""
    hidden: _Mask | None = None
    """(B, *S): which entries are to be filled in; None where that is not the task."""

    def cut(self, start: int, stop: int) -> Chunk:
        """The rows from ``start`` up to ``stop``."""
        return Chunk(
            self.files if isinstance(self.files, str) else self.files[start:stop],
            self.places[start:stop],
            self.items[start:stop],
            {row - start: why for row, why in self.faults.items() if start <= row < stop},
            None if self.hidden is None else self.hidden[start:stop],
        )

    def __len__(self) -> int:
        return len(self.places)


class Decoder:
    """Makes items of a model. With ``completing`` it also finds what is to be filled in.

    ``mask`` is a file that hides the same part of every item, a picture or .npy of an item's shape; without it, NaN and
    transparent pixels are to be filled in. Raises UnusableFile for a mask that does not fit.
    """

    def __init__(self, spec: ItemSpec, fit: bool, completing: bool = False, mask: Path | None = None) -> None:
        self.spec, self.fit, self.completing = spec, fit, completing
        self.mask = None if mask is None else _mask_of(mask, spec, fit)

    def arrays(self, batch: Array, first: int) -> Decoded:
        """Numbers (B, *S), the first of which is item ``first`` of its file."""
        try:
            return Decoded(*self._array(batch, first), {})
        except Problem:
            return self._each(len(batch), range(len(batch)), lambda row: self._array(batch[row : row + 1], first + row))

    def pictures(self, files: Sequence[File]) -> Decoded:
        """One picture in each file. Raises StoreError where the storage of a URL does not answer."""
        if all(isinstance(file, RemoteFile) for file in files):
            contents = with_contents([file for file in files if isinstance(file, RemoteFile)])
            return self._each(len(files), contents, lambda each: self._picture(each[1]))
        return self._each(len(files), files, lambda file: self._picture(_content(file)))

    def rows(self, entries: Array, faults: Faults) -> Decoded:
        """Rows of a table (B, D), NaN where a cell is missing; those that are in ``faults`` hold zeros."""
        if not self.completing:
            return Decoded(entries, None, faults)
        hidden = np.isnan(entries) if self.mask is None else np.isnan(entries) | self.mask
        return Decoded(np.where(hidden, np.float32(0), entries), hidden, faults)

    def _array(self, batch: Array, first: int) -> tuple[Array, _Mask | None]:
        if not self.completing:
            return checked(batch, self.spec, _FIELD, first), None
        hidden = np.isnan(batch) if batch.dtype.kind == "f" else np.zeros(batch.shape, dtype=bool)
        if self.mask is not None:
            hidden = hidden | self.mask
        return checked(np.where(hidden, np.zeros_like(batch), batch), self.spec, _FIELD, first), hidden

    def _picture(self, data: bytes | None) -> tuple[Array, _Mask | None]:
        if data is None:
            raise Malformed("cannot be read: it is no longer there")
        picture = open_picture(data, "the file")
        if not self.completing:
            return to_pixels(picture, self.spec.shape, self.fit, "the picture")[None], None
        picture, transparent = split_transparency(picture)
        pixels = to_pixels(picture, self.spec.shape, self.fit, "the picture")
        hidden = np.zeros(pixels.shape, dtype=bool)
        if transparent is not None:
            hidden |= _spread(to_mask(transparent, self.spec.shape, self.fit, "the picture"), pixels.shape)
        if self.mask is not None:
            hidden |= self.mask
        return pixels[None], hidden[None]

    def _each(self, count: int, things: Iterable[T], decode: Callable[[T], tuple[Array, _Mask | None]]) -> Decoded:
        items = np.zeros((count, *self.spec.shape), np.uint8 if self.spec.is_image else np.float32)
        hidden = np.zeros(items.shape, dtype=bool) if self.completing else None
        faults: Faults = {}
        for row, thing in enumerate(things):
            try:
                item, mask = decode(thing)
            except Problem as problem:
                faults[row] = problem.detail
                continue
            items[row] = item[0]
            if hidden is not None and mask is not None:
                hidden[row] = mask[0]
        return Decoded(items, hidden, faults)


def _content(file: File) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Malformed(f"cannot be read: {error.strerror}") from error


def _mask_of(path: Path, spec: ItemSpec, fit: bool) -> _Mask:
    """(*S) bool, from a picture or a .npy file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnusableFile(f"{path}: cannot be read: {error.strerror}") from error
    with named(path):
        if path.suffix.lower() == ".npy":
            mask = from_npy(data).astype(bool)
        elif len(spec.shape) < 2:
            raise UnusableFile(f"{path}: the model's items are no pictures; a mask of them is a .npy file")
        else:
            mask = to_mask(open_picture(data, "the mask"), spec.shape, fit, "the mask")
    if mask.shape not in (spec.shape, spec.shape[:2]):
        raise UnusableFile(f"{path}: the mask is of shape {mask.shape}; the model's items are of shape {spec.shape}")
    return _spread(mask, spec.shape)


def _spread(mask: Array, shape: tuple[int, ...]) -> _Mask:
    """A mask of pixels for all channels of an item."""
    return np.broadcast_to(mask[..., None], shape) if mask.ndim < len(shape) else mask
