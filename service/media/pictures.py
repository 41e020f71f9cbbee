"""PNG and JPEG pictures to pixels and back, with Pillow. A PNG is decoded in ``open_picture``."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pictures.preparation import DEEP, is_grey, transparent_places
from service.media import effort
from service.protocol.errors import Malformed, TooLarge, WrongValue

Pixels = NDArray[np.uint8]

LARGEST = 2**24
"""The most pixels of a picture for a model of one size: a small file can claim a vast picture."""

_FORMATS = ("PNG", "JPEG")
"""What is taken over HTTP."""
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_MODES = {(): "L", (1,): "L", (3,): "RGB", (4,): "RGBA"}


def open_picture(
    data: bytes,
    field: str,
    formats: Sequence[str] = _FORMATS,
    largest: int = LARGEST,
    shape: Sequence[int] | None = None,
) -> Image.Image:
    """A decoded picture of at most ``largest`` pixels; with ``shape`` (H, W, ...), of that height and width.

    Raises WrongValue for another size, before anything is decoded: a few bytes may hold millions of pixels. Raises
    Malformed for anything but a whole picture of these formats, TooLarge for a vast one, and Abandoned where
    nobody waits for it any more.
    """
    try:
        # Decoding alone lets a PNG without its end pass; verifying reads every chunk, and leaves no picture to decode.
        if not data.endswith(_PNG_END):
            Image.open(io.BytesIO(data), formats=list(formats)).verify()
        picture = Image.open(io.BytesIO(data), formats=list(formats))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge(f"{field}: the picture has too many pixels", field) from error
    except MemoryError:
        raise  # which is not the picture's fault
    except Exception as error:  # Pillow's decoders raise almost anything on damaged files
        raise Malformed(f"{field} is not a whole {' or '.join(formats)} picture", field) from error
    if picture.width * picture.height > largest:
        raise TooLarge(f"{field}: the picture has more than {largest} pixels", field)
    if shape is not None and picture.size != (shape[1], shape[0]):
        raise _other_size(picture, shape, field)
    effort.spend(picture.width * picture.height, field)
    try:
        picture.load()
    except MemoryError:
        raise
    except Exception as error:
        raise Malformed(f"{field} is a damaged picture", field) from error
    return picture


def to_pixels(picture: Image.Image, shape: Sequence[int], fit: bool, field: str) -> Pixels:
    """uint8 pixels of the shape (H, W) or (H, W, C). Raises WrongValue for another size or mode, unless ``fit``."""
    mode = _mode(shape, field)
    size = (shape[1], shape[0])
    if not fit and picture.size != size:
        raise _other_size(picture, shape, field)
    if not fit and picture.mode != mode:
        raise WrongValue(f"{field} is in mode {picture.mode}; the model takes mode {mode}; fit=true converts", field)
    if picture.mode.startswith("I"):  # 16 bits a pixel: the upper eight are the picture
        picture = Image.fromarray((np.asarray(picture).astype(np.int32) >> 8).astype(np.uint8))
    if picture.mode != mode:
        picture = picture.convert(mode)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(picture, dtype=np.uint8).reshape(shape)


def to_mask(picture: Image.Image, shape: Sequence[int], fit: bool, field: str) -> NDArray[np.bool_]:
    """(H, W) bool, true where the picture is white (128 or more). Raises WrongValue for another size."""
    size = (shape[1], shape[0])
    if picture.size != size:
        if not fit:
            raise _other_size(picture, shape, field)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    return white_places(picture)


def white_places(picture: Image.Image) -> NDArray[np.bool_]:
    """(H, W): where a picture is white, 128 or more of 255, and of 16 bits the same share."""
    if picture.mode in DEEP:
        return np.asarray(picture) >= 128 << 8
    return np.asarray(picture.convert("LA").getchannel("L") if picture.mode == "La" else picture.convert("L")) >= 128


def split_transparency(picture: Image.Image, *, grey: bool = False) -> tuple[Image.Image, Image.Image | None]:
    """The opaque picture, and, if it has any transparency, a mask that is white where it is transparent.

    A palette becomes colour; one of greys becomes grey where that is wanted.
    """
    if not picture.has_transparency_data:
        return picture, None
    if picture.mode in DEEP:
        opaque = picture.copy()
        opaque.info.pop("transparency")
        return opaque, Image.fromarray(np.where(transparent_places(picture), 255, 0).astype(np.uint8))
    rgba = picture.convert("RGBA")
    mask = rgba.getchannel("A").point(lambda alpha: 255 - alpha)
    return rgba.convert("L" if picture.mode in ("1", "L", "LA") or (grey and is_grey(picture)) else "RGB"), mask


def to_png(pixels: Pixels) -> bytes:
    """(H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8 -> PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(stream, "PNG")
    return stream.getvalue()


def _other_size(picture: Image.Image, shape: Sequence[int], field: str) -> WrongValue:
    sizes = f"{picture.width}x{picture.height}; the model takes {shape[1]}x{shape[0]}"
    return WrongValue(f"{field} is {sizes}; fit=true converts", field)


def _mode(shape: Sequence[int], field: str) -> str:
    mode = _MODES.get(tuple(shape[2:])) if len(shape) >= 2 else None
    if mode is None:
        raise WrongValue("the model's items are no pictures; send npy or JSON", field)
    return mode
