"""Images from a folder of pictures, all of one size."""

from __future__ import annotations

import io
import os
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from trainer.errors import DataError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm"}
)
_GREY = frozenset({"1", "L"})
_COLOUR = frozenset({"RGB", "P", "CMYK", "YCbCr", "HSV", "LAB"})


def picture_files(folder: Path) -> list[Path]:
    """The picture files in a folder and its subfolders, sorted. Raises DataError where there are none.

    Hidden files and folders are left out: systems keep notes and thumbnails there under the names of pictures. Links to
    folders are not followed. A folder that cannot be read is an error too.
    """
    paths = [path for path in _files(folder) if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise DataError(f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return paths


def told_of_others(folder: Path) -> list[str]:
    """Which files of a folder are no pictures by their names, a line for people; nothing where all are."""
    kinds = Counter(path.suffix.lower() or "no ending" for path in _files(folder))
    others = {kind: count for kind, count in kinds.most_common() if kind not in SUFFIXES}
    if not others:
        return []
    shown = ", ".join(f"{kind} ({count:,})" for kind, count in list(others.items())[:4])
    return [f"files of other kinds, left out: {sum(others.values()):,}: {shown}"]


def _files(folder: Path) -> list[Path]:
    """All files that are not hidden, sorted."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror}")

    found: list[Path] = []
    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if name[0] != "."]
        found += [Path(where, name) for name in names if name[0] != "."]
    try:
        return sorted(path for path in found if path.is_file())
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error


def read(folder: Path) -> Tensor:
    """Every picture in a folder and its subfolders, in the order of their paths.

    The result is (N, H, W) uint8 where all pictures are grey, else (N, H, W, 3). Raises DataError with the file's name
    when a picture is damaged, transparent, deeper than 8 bits, or of another size.
    """
    paths = picture_files(folder)
    pictures = [_picture(path) for path in paths]
    width, height = pictures[0].size
    for path, picture in zip(paths, pictures, strict=True):
        if picture.size != (width, height):
            raise DataError(
                f"{path}: is {picture.width}x{picture.height} where {paths[0].name} is {width}x{height}; "
                "a flow needs pictures of one size"
            )
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    return torch.from_numpy(np.stack([np.asarray(picture.convert(mode)) for picture in pictures]))


def _picture(path: Path) -> Image.Image:
    """One picture, in mode L where it is grey, else in mode RGB."""
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as file:  # see ``picture_folder``
            file.load()
            picture = file.copy()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a readable picture: {error}") from error
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if np.asarray(picture.getchannel("A")).min() < 255:
            raise DataError(f"{path}: is transparent in places; put it on a background first")
        return picture.convert("RGB")
    if picture.mode in _GREY:
        return picture.convert("L")
    if picture.mode not in _COLOUR:
        raise DataError(f"{path}: its mode {picture.mode} is not one with 8 bits per channel")
    return picture.convert("RGB")
