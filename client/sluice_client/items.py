"""What a caller hands in as items, made ready to be sent: arrays of numbers, encoded pictures, or a table."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sluice_client.calls import NPY, Body
from sluice_client.errors import UnusableInput
from sluice_client.npy import Array, to_npy
from sluice_client.tables import Table, table_of

_PNG, _JPEG = "image/png", "image/jpeg"
_ENDINGS = {".png": _PNG, ".jpg": _JPEG, ".jpeg": _JPEG, ".jfif": _JPEG}
_NUMBERS = ".npy"


@dataclass(frozen=True)
class Picture:
    """One encoded picture, and the file that it came from."""

    type: str
    data: bytes
    name: str = ""


class Numbers:
    """An array (N, ...), or one item."""

    names = ()

    def __init__(self, array: Array) -> None:
        self.array = array

    def batch(self, shape: tuple[int, ...] | None) -> Numbers:
        """The same as a batch, where the shape of an item is known and this is one item.

        A picture for a model of any size has another shape than ``shape``, which is that of the model's crops, but as
        many sides.
        """
        return Numbers(self.array[None]) if shape is not None and self.array.ndim == len(shape) else self

    def __len__(self) -> int:
        return len(self.array) if self.array.ndim else 1

    def part(self, first: int, stop: int) -> Numbers:
        return Numbers(self.array[first:stop])

    def nbytes(self) -> int:
        return self.array.nbytes

    def body(self) -> Body:
        return Body(NPY, to_npy(self.array))


class Pictures:
    """Encoded pictures, an item each."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures = pictures

    @property
    def names(self) -> Sequence[str]:
        """The file of each picture; empty for what is none."""
        return [picture.name for picture in self.pictures]

    def batch(self, shape: tuple[int, ...] | None) -> Pictures:  # noqa: ARG002
        return self

    def __len__(self) -> int:
        return len(self.pictures)

    def part(self, first: int, stop: int) -> Pictures:
        return Pictures(self.pictures[first:stop])

    def nbytes(self) -> int:
        return sum(len(picture.data) + _PART_BYTES for picture in self.pictures)

    def body(self) -> Body:
        if len(self.pictures) == 1:
            return Body(self.pictures[0].type, self.pictures[0].data)
        return multipart([("files", picture) for picture in self.pictures])


class Rows:
    """Rows of a table by name, sent as CSV: for a model that knows its columns and their kinds."""

    names = ()

    def __init__(self, table: Table) -> None:
        self.table = table

    def batch(self, shape: tuple[int, ...] | None) -> Rows:  # noqa: ARG002
        return self

    def __len__(self) -> int:
        return len(self.table)

    def part(self, first: int, stop: int) -> Rows:
        return Rows(self.table.rows(first, stop))

    def nbytes(self) -> int:
        return _CELL_BYTES * len(self.table) * len(self.table.columns)

    def body(self) -> Body:
        return Body("text/csv", self.table.to_csv())


Payload = Numbers | Pictures | Rows

_PART_BYTES = 200
"""What surrounds one part of a multipart body, at most."""
_CELL_BYTES = 25
"""A number of a table as text, at most; words are seldom longer."""


def payload_of(items: Any, columns: Sequence[str] | None = None) -> Payload | Table:
    """Items ready to be sent; a table where the model's columns are still to be compared.

    Raises UnusableInput.
    """
    if isinstance(items, os.PathLike | str):
        return _from_path(Path(items))
    if _is_picture(items):
        return Pictures([_picture(items, "items")])
    table = table_of(items)
    if table is not None:
        return table if columns is None else Numbers(table.chosen(columns).numbers())
    if columns is not None:
        raise UnusableInput("columns: only a table has columns to choose from")
    if isinstance(items, list | tuple) and any(_is_pictured(item) for item in items):
        return Pictures([_one_picture(item, index) for index, item in enumerate(items)])
    return Numbers(numbers_of(items, "items"))


def numbers_of(value: Any, name: str) -> Array:
    """An array of numbers. Raises UnusableInput for anything else."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise UnusableInput(
            f"{name}: must hold numbers, in lists of equal lengths; pictures of several sizes are sent as images of "
            "Pillow or as files"
        ) from error
    if array.dtype.kind == "O":  # such as None, for what is missing
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise UnusableInput(f"{name}: must hold numbers, in lists of equal lengths") from error
    if array.dtype.kind not in "iufb":
        raise UnusableInput(f"{name}: must hold numbers, not {array.dtype}")
    if not array.size:
        raise UnusableInput(f"{name}: is empty")
    # The format takes no longer numbers than these, and only in the machine's order.
    return array.astype(array.dtype.newbyteorder("=") if array.itemsize <= 8 else np.float64, copy=False)


def multipart(parts: Sequence[tuple[str, Picture]]) -> Body:
    """A multipart body of files, a name each (RFC 7578)."""
    boundary = secrets.token_hex(16)
    chunks: list[bytes] = []
    for name, picture in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        chunks += [f"{head}Content-Type: {picture.type}\r\n\r\n".encode(), picture.data, b"\r\n"]
    chunks.append(f"--{boundary}--\r\n".encode())
    return Body(f"multipart/form-data; boundary={boundary}", b"".join(chunks))


def inpainting_body(image: Any, mask: Any | None) -> Body:
    """The body of an inpainting: an image with NaN, None or transparency where it is unknown, or one with a mask.

    One row of a table by column name is for a model that knows its columns. In a mask as an array, everything but 0 is
    to be filled in; in one as a picture, what is white.
    """
    if isinstance(image, Mapping):
        image = {name: [cell] if np.ndim(cell) == 0 else cell for name, cell in image.items()}
    row = table_of(image)
    if row is not None:
        if len(row) != 1 or mask is not None:
            raise UnusableInput("image: of a table, send one row with gaps where it is unknown, and no mask")
        return Rows(row).body()
    whole = _file_or_numbers(image, "image")
    if mask is None:
        if isinstance(whole, Picture):
            return multipart([("image", whole)])
        if whole.dtype.kind != "f" or not np.isnan(whole).any():
            raise UnusableInput("mask: give a mask, or NaN in the image where it is unknown")
        return Body(NPY, to_npy(whole))
    hidden = _file_or_numbers(mask, "mask")
    parts = [("image", _as_part(whole))]
    parts.append(("mask", hidden if isinstance(hidden, Picture) else _as_part(hidden.astype(bool))))
    return multipart(parts)


def _as_part(value: Picture | Array) -> Picture:
    return value if isinstance(value, Picture) else Picture(NPY, to_npy(value))


def _file_or_numbers(value: Any, name: str) -> Picture | Array:
    if isinstance(value, os.PathLike | str):
        found = _from_path(Path(value))
        if isinstance(found, Pictures):
            if len(found) != 1:
                raise UnusableInput(f"{name}: {value} is a folder, not one picture")
            return found.pictures[0]
        return found.array
    return _picture(value, name) if _is_picture(value) else numbers_of(value, name)


def _from_path(path: Path) -> Numbers | Pictures:
    if path.is_dir():
        known = (file for file in path.rglob("*") if file.suffix.lower() in _ENDINGS and file.is_file())
        files = sorted(file for file in known if not any(part[0] == "." for part in file.relative_to(path).parts))
        if not files:
            raise UnusableInput(f"{path}: holds no file that ends in {', '.join(_ENDINGS)}")
        return Pictures([_file(file) for file in files])
    if path.suffix.lower() == _NUMBERS:
        try:
            # Read as a whole: a file that is cut while its numbers are sent would end the process.
            return Numbers(numbers_of(np.load(path, allow_pickle=False), str(path)))
        except (OSError, ValueError, EOFError) as error:
            raise UnusableInput(f"{path}: cannot be read: {error}") from error
    return Pictures([_file(path)])


def _file(path: Path) -> Picture:
    kind = _ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise UnusableInput(
            f"{path}: files end in {', '.join((*_ENDINGS, _NUMBERS))}; read a table with pandas or polars"
        )
    try:
        return Picture(kind, path.read_bytes(), str(path))
    except OSError as error:
        raise UnusableInput(f"{path}: cannot be read: {error.strerror}") from error


def _one_picture(item: Any, index: int) -> Picture:
    name = f"items[{index}]"
    if isinstance(item, os.PathLike | str):
        return _file(Path(item))
    if not _is_picture(item):
        raise UnusableInput(f"{name}: pictures and arrays cannot be mixed in one list")
    return _picture(item, name)


def _is_pictured(item: Any) -> bool:
    return isinstance(item, os.PathLike | str) or _is_picture(item)


def _is_picture(value: Any) -> bool:
    """Whether a value is an image of Pillow's, or the bytes of a file."""
    return isinstance(value, bytes | bytearray) or (hasattr(value, "getbands") and hasattr(value, "save"))


def _picture(value: Any, name: str) -> Picture:
    if isinstance(value, bytes | bytearray):
        if value.startswith(b"\x89PNG"):
            return Picture(_PNG, bytes(value))
        if value.startswith(b"\xff\xd8\xff"):
            return Picture(_JPEG, bytes(value))
        raise UnusableInput(f"{name}: bytes must be those of a PNG or JPEG file")
    stream = io.BytesIO()
    try:
        value.save(stream, "PNG", compress_level=1, exif=value.getexif())  # it tells how the picture is turned
    except (OSError, ValueError) as error:
        raise UnusableInput(f"{name}: a picture in mode {value.mode} cannot be sent as PNG: {error}") from error
    return Picture(_PNG, stream.getvalue())
