"""Raw numbers and pictures to items. Whatever cannot be used gets a reason, and the others of its batch are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.media.items import ItemSpec, checked
from service.media.npy import Array, from_npy
from service.media.pictures import open_picture, to_mask
from service.offline.bulk.picture_decoding import Decoded, Faults, Mask, PictureDecoder, each_alone, spread
from service.offline.remote_files import RemoteFile, with_contents
from service.offline.unusable import UnusableFile, named
from service.protocol.errors import Problem

_FIELD = "the array"
_GONE = "cannot be read: it is no longer there"


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
    hidden: Mask | None = None
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
        self.pictures = PictureDecoder(spec, fit, completing, self.mask)

    def arrays(self, batch: Array, first: int) -> Decoded:
        """Numbers (B, *S), the first of which is item ``first`` of its file."""
        try:
            return Decoded(*self._array(batch, first), {})
        except Problem:
            each = range(len(batch))
            return each_alone(
                self.spec,
                self.completing,
                len(batch),
                each,
                lambda row: self._array(batch[row : row + 1], first + row),
            )

    def remote_pictures(self, files: Sequence[RemoteFile]) -> Decoded:
        """One picture in each file at a URL. Raises StoreError where the storage does not answer."""
        contents = (_GONE if content is None else content for _, content in with_contents(files))
        return self.pictures.contents(len(files), contents)

    def rows(self, entries: Array, faults: Faults) -> Decoded:
        """Rows of a table (B, D), NaN where a cell is missing; those that are in ``faults`` hold zeros."""
        if not self.completing:
            return Decoded(entries, None, faults)
        hidden = np.isnan(entries) if self.mask is None else np.isnan(entries) | self.mask
        return Decoded(np.where(hidden, np.float32(0), entries), hidden, faults)

    def _array(self, batch: Array, first: int) -> tuple[Array, Mask | None]:
        if not self.completing:
            return checked(batch, self.spec, _FIELD, first), None
        hidden = np.isnan(batch) if batch.dtype.kind == "f" else np.zeros(batch.shape, dtype=bool)
        if self.mask is not None:
            hidden = hidden | self.mask
        return checked(np.where(hidden, np.zeros_like(batch), batch), self.spec, _FIELD, first), hidden


def _mask_of(path: Path, spec: ItemSpec, fit: bool) -> Mask:
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
    return spread(mask, spec.shape)
