"""Pictures to items, one after another. A process that does only this imports no PyTorch: see ``picture_readers``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.media.items import ItemSpec
from service.media.npy import Array
from service.media.pictures import open_picture, split_transparency, to_mask, to_pixels
from service.offline.unusable import in_options
from service.protocol.errors import Malformed, Problem

T = TypeVar("T")
Faults = dict[int, str]
Mask = NDArray[np.bool_]


class Decoded(NamedTuple):
    items: Array
    """(B, *S); rows with a fault hold anything finite."""
    hidden: Mask | None
    """(B, *S) bool: which entries are to be filled in; None where that is not the task."""
    faults: Faults
    """Why rows cannot be used, by their place among these."""


class PictureDecoder(NamedTuple):
    """Makes items of pictures. With ``completing`` it also finds what is to be filled in: see ``Decoder``."""

    spec: ItemSpec
    fit: bool
    completing: bool
    mask: Mask | None

    def files(self, paths: Sequence[Path]) -> Decoded:
        """One picture in each file."""
        return self.contents(len(paths), map(_content, paths))

    def contents(self, count: int, contents: Iterable[bytes | str]) -> Decoded:
        """``count`` pictures, each the bytes of a file, or why they cannot be read."""
        return each_alone(self.spec, self.completing, count, contents, self._item)

    def _item(self, content: bytes | str) -> tuple[Array, Mask | None]:
        if isinstance(content, str):
            raise Malformed(content)
        picture = open_picture(content, "the file")
        if not self.completing:
            return to_pixels(picture, self.spec.shape, self.fit, "the picture")[None], None
        picture, transparent = split_transparency(picture)
        pixels = to_pixels(picture, self.spec.shape, self.fit, "the picture")
        hidden = np.zeros(pixels.shape, dtype=bool)
        if transparent is not None:
            hidden |= spread(to_mask(transparent, self.spec.shape, self.fit, "the picture"), pixels.shape)
        if self.mask is not None:
            hidden |= self.mask
        return pixels[None], hidden[None]


def each_alone(
    spec: ItemSpec,
    completing: bool,
    count: int,
    things: Iterable[T],
    decode: Callable[[T], tuple[Array, Mask | None]],
) -> Decoded:
    """``count`` things, each decoded to one item; those that cannot be get a reason, and the others are kept."""
    items = np.zeros((count, *spec.shape), np.uint8 if spec.is_image else np.float32)
    hidden = np.zeros(items.shape, dtype=bool) if completing else None
    faults: Faults = {}
    for row, thing in enumerate(things):
        try:
            item, mask = decode(thing)
        except Problem as problem:
            faults[row] = in_options(problem.detail)
            continue
        items[row] = item[0]
        if hidden is not None and mask is not None:
            hidden[row] = mask[0]
    return Decoded(items, hidden, faults)


def spread(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """A mask of pixels for all channels of an item."""
    return np.broadcast_to(mask[..., None], shape) if mask.ndim < len(shape) else mask


def _content(path: Path) -> bytes | str:
    try:
        return path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
