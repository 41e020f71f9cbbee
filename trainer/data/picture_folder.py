"""A folder of pictures of any sizes and modes: what is in it, and its pictures prepared as a model takes them."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pictures import BadPicture, Preparation
from pictures.preparation import MOST_BITS, MOST_FILE_PIXELS, bits_used, is_grey, pixels_by_bits, turned_size
from trainer.data.folder import picture_files, told_of_others
from trainer.errors import DataError

MOST_DAMAGED = 0.1
"""The share of files that may be damaged."""
_LISTED = 10


@dataclass(frozen=True)
class FoundPictures:
    """What a first look at a folder tells: its readable pictures, and the files that are none."""

    folder: Path
    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    """Width and height of each picture, turned as its EXIF says."""
    colours: int
    """1 where all pictures are grey, else 3."""
    bits: int
    """Bits that deep grey pictures use, 8 where there are none."""
    damaged: tuple[str, ...]
    """Why files were left out, with their names."""
    copies: tuple[str, ...] = ()
    """Pictures that were left out since another has the same pixels, with the names of both. Known after ``read``."""
    coloured: tuple[str, ...] = ()
    """The names of pictures in colour."""

    @property
    def longest(self) -> int:
        """Pixels of the longest side of any picture."""
        return max(max(size) for size in self.sizes)

    def told(self) -> list[str]:
        """What was found, a line each, for people."""
        kind = "grey" if self.colours == 1 else "colour"
        depth = f", {self.bits} bits used of 16" if self.bits > 8 else ""
        common = Counter(self.sizes).most_common(3)
        shown = ", ".join(f"{width}x{height} ({count})" for (width, height), count in common)
        more = len(set(self.sizes)) - len(common)
        lines = [
            f"{self.folder.resolve().name}: {len(self.paths):,} pictures, {kind}{depth}: {shown}"
            + (f" and {more} other sizes" if more > 0 else "")
        ]
        grey = len(self.paths) - len(self.coloured)
        if self.coloured and grey:
            few = _listed(self.coloured) if len(self.coloured) <= grey else []
            lines += [f"in colour: {len(self.coloured):,}; so {grey:,} in grey count as colour too", *few]
        if self.damaged:
            lines += [f"files left out: {len(self.damaged):,}", *_listed(self.damaged)]
        lines += told_of_others(self.folder)
        return lines + self.told_of_copies()

    def told_of_copies(self) -> list[str]:
        """Which pictures were left out as copies, a line each, for people."""
        if not self.copies:
            return []
        return [f"copies of other pictures, left out: {len(self.copies):,}", *_listed(self.copies)]


def look(folder: Path) -> FoundPictures:
    """Decode every picture of a folder and its subfolders once, and note what they are.

    Raises DataError where there are none, or where more than a tenth of the files cannot be used.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: must be a folder of pictures")
    paths = picture_files(folder)
    good: list[Path] = []
    sizes: list[tuple[int, int]] = []
    damaged: list[str] = []
    coloured: list[str] = []
    by_bits: list[NDArray[np.int64]] = []
    for path in paths:
        try:
            with _opened(path) as picture:
                Preparation(max(picture.size), 3, MOST_BITS)(picture)
                size = turned_size(picture)
                colour = not is_grey(picture)
                by_bits.append(pixels_by_bits(picture))
        except (BadPicture, DataError) as error:
            damaged.append(f"{path.relative_to(folder)}: {error}")
            continue
        good.append(path)
        sizes.append(size)
        coloured += [str(path.relative_to(folder))] if colour else []
    if len(damaged) > MOST_DAMAGED * len(paths):
        listed = "\n  ".join(damaged[:_LISTED])
        raise DataError(
            f"{folder}: {len(damaged)} of {len(paths)} files cannot be used, more than a tenth; mend or move them:\n"
            f"  {listed}"
        )
    colours = 3 if coloured else 1
    bits = bits_used(by_bits)
    return FoundPictures(folder, tuple(good), tuple(sizes), colours, bits, tuple(damaged), coloured=tuple(coloured))


def read(
    found: FoundPictures, preparation: Preparation, say: Callable[[str], None] = lambda _: None
) -> tuple[FoundPictures, list[NDArray[np.uint8]]]:
    """The pictures that are used, and the prepared pixels of each.

    Of pictures with the same prepared pixels the first is used: a copy would be judged by what is known of itself. A
    picture too narrow at this size is left out and told. Raises DataError when a file has changed since the look.
    """
    items: list[NDArray[np.uint8]] = []
    used: list[tuple[Path, tuple[int, int]]] = []
    copies: list[str] = []
    first: dict[bytes, Path] = {}
    for path, size in zip(found.paths, found.sizes, strict=True):
        name = path.relative_to(found.folder)
        try:
            with _opened(path) as picture:
                pixels = preparation(picture)
        except BadPicture as error:
            say(f"left out: {name} {error}")
            continue
        except DataError as error:
            raise DataError(f"{name}: {error}; it was readable a moment ago") from error
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if digest in first:
            copies.append(f"{name} is a copy of {first[digest]}")
            continue
        first[digest] = name
        items.append(pixels)
        used.append((path, size))
    paths, sizes = tuple(path for path, _ in used), tuple(size for _, size in used)
    return replace(found, paths=paths, sizes=sizes, copies=tuple(copies)), items


def _listed(reasons: Sequence[str]) -> list[str]:
    more = len(reasons) - _LISTED
    return [f"  {reason}" for reason in reasons[:_LISTED]] + ([f"  and {more:,} more"] if more > 0 else [])


def _opened(path: Path) -> Image.Image:
    """A decoded picture. Raises DataError for a damaged one."""
    try:
        # By its bytes: of a path, Pillow 13 maps plain TIFF files into memory and mistakes the sides of turned ones.
        picture = Image.open(io.BytesIO(path.read_bytes()))
        if picture.width * picture.height > MOST_FILE_PIXELS:
            raise DataError(f"has more than {MOST_FILE_PIXELS:,} pixels")
        picture.load()
    except UnidentifiedImageError as error:  # whose text has the path of the file
        raise DataError("is not a readable picture: its content is that of no format that is known") from error
    except OSError as error:
        raise DataError(f"is not a readable picture: {error.strerror or _first_line(error)}") from error
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"is not a readable picture: {_first_line(error)}") from error
    return picture


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "damaged")
