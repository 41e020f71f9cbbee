"""One picture of any mode and size to uint8 pixels: turned as its EXIF says, 8 bits, grey or colour, scaled down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pictures.hidden import filled

LEAST_SIDE = 8
"""Pixels of the shorter side at least."""
MOST_FILE_PIXELS = 2**26
"""Pixels of a file at most, in training and when served: a small file can claim a vast picture."""
_GREY = frozenset({"1", "L", "LA", "La"})
DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
"""Modes of grey pictures with 16 bits a pixel."""
MOST_BITS = 16
_GLARING = 0.01
"""The share of a deep picture's pixels that may be above the levels in use: a sensor has hot pixels."""
_HOT = 1e-4
"""The share of the pixels of all pictures of a training that may be."""
_ORIENTATION, _LYING = 0x0112, 5
"""The EXIF tag of how a picture is turned, and the value from which on width and height change places."""
_TURNS = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
"""What turns a picture upright, by its orientation."""
_TELL_ORIENTATION = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
"""Where Pillow looks for an orientation in a picture's ``info``."""
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

    def __call__(
        self, picture: Image.Image, *, convert: bool = True, hidden: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint8]:
        """uint8 pixels (H, W), or (H, W, 3) of a colour model, of a decoded picture. Raises BadPicture.

        A deep picture of more bits than the model's is refused: cut off, it would be white.
        Without ``convert`` a picture in colour is refused by a grey model, and the other way round. What is ``hidden``,
        (H, W) of the picture once it is turned, changes nothing in the other pixels.
        """
        if picture.mode not in _GREY | _COLOUR | DEEP:
            raise BadPicture(f"has the mode {picture.mode}, which is neither grey nor colour of 8 or 16 bits")
        if not convert and self.colours == 1 and not is_grey(picture):
            raise BadPicture("is in colour, and the model's pictures are grey")
        if not convert and self.colours == 3 and _grey_mode(picture):
            raise BadPicture("is grey, and the model's pictures are colour")
        levels = _eight_bits(_opaque(turned(picture)), self.bits, hidden)
        fitted = levels.convert("L" if self.colours == 1 else "RGB")
        size = self.size_of(fitted.width, fitted.height)
        if size != fitted.size:
            if hidden is not None:
                fitted = filled(fitted, hidden)
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
    """Whether a picture has no colours by its mode, or by those of its palette that it uses."""
    if picture.mode != "P":
        return _grey_mode(picture)
    palette = np.array(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = palette[np.flatnonzero(picture.histogram()[: len(palette)])]
    return bool((used == used[:, :1]).all())


def _grey_mode(picture: Image.Image) -> bool:
    return picture.mode in _GREY or picture.mode in DEEP


def turned(picture: Image.Image) -> Image.Image:
    """A picture turned as its EXIF data say; the same one where they say nothing."""
    turn = _TURNS.get(_orientation(picture))
    if turn is None:
        return picture
    upright = picture.transpose(turn)
    for key in _TELL_ORIENTATION:  # or it would be turned once more
        upright.info.pop(key, None)
    return upright


def turned_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height of a picture once it is turned as its EXIF data say."""
    return (picture.height, picture.width) if _orientation(picture) >= _LYING else picture.size


def _orientation(picture: Image.Image) -> int:
    """The orientation in a picture's EXIF data, from 1 to 8; 1, as it lies, where there is none that can be read."""
    try:
        found = picture.getexif().get(_ORIENTATION, 1)
        return int(found) if found in range(1, 9) else 1
    except MemoryError:
        raise  # which is not the picture's fault
    except Exception:  # Pillow raises almost anything on damaged EXIF data
        return 1


def pixels_by_bits(picture: Image.Image) -> NDArray[np.int64]:
    """How many pixels (17,) of a deep grey picture need so many bits; of any other picture none is told."""
    if picture.mode not in DEEP:
        return np.zeros(MOST_BITS + 1, dtype=np.int64)
    levels = np.asarray(picture).clip(0, 2**MOST_BITS - 1)
    _, bits = np.frexp(levels.astype(np.float32))  # exact for 16 bits
    return np.bincount(bits.flatten(), minlength=MOST_BITS + 1)


def bits_used(pictures: Sequence[NDArray[np.int64]]) -> int:
    """How many bits deep grey pictures use, from 8 to 16, given the ``pixels_by_bits`` of each; 8 without any.

    Hot pixels of a sensor do not count: few of all, and few of each picture, may be above.
    """
    deep = [each for each in pictures if each.any()]
    for bits in range(8, MOST_BITS):
        above = [int(each[bits + 1 :].sum()) for each in deep]
        few = all(count <= _GLARING * each.sum() for count, each in zip(above, deep, strict=True))
        if few and sum(above) <= _HOT * sum(int(each.sum()) for each in deep):
            return bits
    return MOST_BITS


def transparent_places(picture: Image.Image) -> NDArray[np.bool_]:
    """(H, W): where a deep grey picture holds the value that a PNG may declare transparent."""
    found: NDArray[np.bool_] = np.asarray(picture) == picture.info.get("transparency", -1)
    return found


def _opaque(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture
    if picture.mode == "La":  # which converts to nothing else
        picture = picture.convert("LA")
    if picture.mode in DEEP:  # of which Pillow's conversions keep levels up to 255 alone
        if transparent_places(picture).any():
            value = picture.info["transparency"]
            raise BadPicture(f"is transparent where its value is {value}; put it on a background first")
        return picture
    solid = picture.convert("RGBA")
    if np.asarray(solid.getchannel("A")).min() < 255:
        raise BadPicture("is transparent in places; put it on a background first")
    return solid.convert("L" if is_grey(picture) else "RGB")


def _eight_bits(picture: Image.Image, bits: int, hidden: NDArray[np.bool_] | None) -> Image.Image:
    if picture.mode in DEEP:
        values = np.asarray(picture)
        if hidden is not None:
            values = np.where(hidden, 0, values)
        if values.min(initial=0) < 0:
            raise BadPicture("holds negative values")
        if values.max(initial=0) >= 2**16:
            raise BadPicture("holds values above 65535; grey may have 16 bits a pixel")
        if np.mean(values >= 2**bits) > _GLARING:
            raise BadPicture(
                f"has levels above {2**bits - 1}, the highest of the {bits} bits that the model's pictures use; bring "
                "it to as many bits"
            )
        return Image.fromarray(np.minimum(values >> (bits - 8), 255).astype(np.uint8))
    return picture
