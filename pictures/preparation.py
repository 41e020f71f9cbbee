"""One picture of any mode and size to uint8 pixels: turned as its EXIF says, 8 bits, grey or colour, scaled down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

LEAST_SIDE = 8
"""Pixels of the shorter side at least."""
_GREY = frozenset({"1", "L", "LA", "La"})
DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
"""Modes of grey pictures with 16 bits a pixel."""
_ORIENTATION, _LYING = 0x0112, 5
"""The EXIF tag of how a picture is turned, and the value from which on width and height change places."""
_COLOUR = frozenset({"RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV"})


class BadPicture(ValueError):
    """A picture that cannot become an item; the message says why, without the file's name."""


@dataclass(frozen=True)
class Preparation:
    """What a model of pictures does to each picture before it looks at it.

    >>> prepare = Preparation(longest=64, colours=1)
    >>> prepare(Image.new("L", (640, 320))).shape
    (32, 64)
    """

    longest: int
    """Pixels of the longer side at most: a larger picture is scaled down, its proportions kept. None is scaled up."""
    colours: int
    """1 for grey, 3 for colour."""
    bits: int = 8
    """Bits in use of a grey picture with 16 bits a pixel: a camera of 12 bits uses 12. The upper 8 of them are kept."""
    only: tuple[int, int] | None = None
    """Height and width of aligned pictures: another size, once scaled down, is refused."""

    def __call__(self, picture: Image.Image, *, convert: bool = True) -> NDArray[np.uint8]:
        """uint8 pixels (H, W), or (H, W, 3) of a colour model, of a decoded picture. Raises BadPicture.

        Without ``convert`` a picture in colour is refused by a grey model, and the other way round.
        """
        turned = ImageOps.exif_transpose(picture)
        if not convert and is_grey(turned) != (self.colours == 1):
            found, wanted = ("grey", "colour") if self.colours == 3 else ("in colour", "grey")
            raise BadPicture(f"is {found}, and the model's pictures are {wanted}")
        levels = _eight_bits(_opaque(turned), self.bits)
        fitted = levels.convert("L" if self.colours == 1 else "RGB")
        size = self.size_of(fitted.width, fitted.height)
        if size != fitted.size:
            fitted = fitted.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        return np.array(fitted, dtype=np.uint8)

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """The width and height that a picture is brought to.

        Raises BadPicture where a side becomes too short, and for another size than ``only``.
        """
        share = min(1.0, self.longest / max(width, height))
        size = round(width * share), round(height * share)
        if min(size) < LEAST_SIDE:
            raise BadPicture(f"is {width}x{height}; with a longer side of {self.longest} a side is below {LEAST_SIDE}")
        if self.only is not None and size != self.only[::-1]:
            scaled = "" if size == (width, height) else f", scaled down to {size[0]}x{size[1]}"
            raise BadPicture(
                f"is {width}x{height}{scaled}; the model scores aligned pictures of {self.only[1]}x{self.only[0]} alone"
            )
        return size


def is_grey(picture: Image.Image) -> bool:
    """Whether a picture has no colours by its mode."""
    return picture.mode in _GREY or picture.mode in DEEP


def turned_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height of a picture once it is turned as its EXIF data say."""
    lies = picture.getexif().get(_ORIENTATION, 1) >= _LYING
    return (picture.height, picture.width) if lies else picture.size


def bits_used(picture: Image.Image) -> int:
    """How many bits the brightest pixel of a deep grey picture needs, from 8 to 16; 8 for any other picture."""
    if picture.mode not in DEEP:
        return 8
    return min(max(int(np.asarray(picture).max(initial=0)).bit_length(), 8), 16)


def _opaque(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture
    solid = picture.convert("RGBA")
    if np.asarray(solid.getchannel("A")).min() < 255:
        raise BadPicture("is transparent in places; put it on a background first")
    return solid.convert("L" if is_grey(picture) else "RGB")


def _eight_bits(picture: Image.Image, bits: int) -> Image.Image:
    if picture.mode in DEEP:
        values = np.asarray(picture).astype(np.int64)
        if values.min(initial=0) < 0:
            raise BadPicture("holds negative values")
        return Image.fromarray((values >> (bits - 8)).clip(0, 255).astype(np.uint8))
    if picture.mode not in _GREY and picture.mode not in _COLOUR:
        raise BadPicture(f"has the mode {picture.mode}, which is neither grey nor colour of 8 or 16 bits")
    return picture
