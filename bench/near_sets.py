"""Near anomalies of MNIST: pictures of strokes as its own are, that show no ordinary digit.

Half of the sets, ``TUNED_ON``, is for choosing statistics and the way they are combined. The other half,
``KEPT_APART``, is for the figures alone: nothing in ``flows/anomaly`` was chosen by it. Most kinds of anomaly have a
set in both halves.

All sets but joined and mirrored digits are made at several times the resolution and rendered much as MNIST's were:
black and white, scaled to 20 pixels, centred by mass. ``RENDERED_AGAIN`` are ordinary digits that went the same way,
and ``OTHER_WRITERS`` the digits of EMNIST: no anomalies, but what rendering alone makes of ordinary digits.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.data import KMNIST, MNIST, files, idx
from trainer.errors import DataError

COUNT = 1000
"""Pictures of each set."""
TUNED_ON = (
    "halves, left and right",
    "bent in waves",
    "thickened",
    "letters, plain fonts",
    "stroke removed",
    "mirrored",
)
KEPT_APART = (
    "halves, top and bottom",
    "bent elastically",
    "thinned",
    "letters, serif and italic fonts",
    "stroke added",
    "kmnist, rendered alike",
    "digits of 8x8, rendered alike",
)
RENDERED_AGAIN, OTHER_WRITERS = "ordinary digits rendered again", "ordinary digits of emnist rendered alike"

_SIDE, _BOX, _FINE = 28, 20, 4
"""Pixels of a side of a picture, and of the box that its ink fits into. Masks have ``_FINE`` times the resolution."""
_LABELS, _LABELS_MD5 = "t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"
_EMNIST = "emnist-mnist/emnist-mnist-test-images-idx3-ubyte.gz"
_KMNIST = "t10k-images-idx3-ubyte.gz"
_LETTERS = "ACDEFGHKLMNPQRTUVWXYadefhkmnprtuwxy"
"""Without letters that may pass for a digit."""
_PLAIN = ("DejaVuSans.ttf", "DejaVuSansMono.ttf", "cmss10.ttf")
_OTHER = ("cmr10.ttf", "cmmi10.ttf", "STIXGeneralItalic.ttf", "DejaVuSerif.ttf")
"""Fonts that matplotlib ships."""


def near_sets(digits: Tensor, data_dir: Path | None, names: tuple[str, ...], count: int = COUNT) -> dict[str, Tensor]:
    """The named sets (count or fewer, 28, 28) uint8, made of MNIST digits (N, 28, 28), the same on every machine.

    A line on stderr names each set whose data are not at hand.
    """
    own, labels = digits[:count], _labels(data_dir)
    makers: dict[str, Callable[[torch.Generator], Tensor]] = {
        RENDERED_AGAIN: lambda _: rendered(_masks(own)),
        "halves, left and right": lambda g: _joined(own, labels[:count], 2, g),
        "halves, top and bottom": lambda g: _joined(own, labels[:count], 1, g),
        "bent in waves": lambda g: rendered(_moved(_masks(own), _waves(len(own), g))),
        "bent elastically": lambda g: rendered(_moved(_masks(own), _elastic(len(own), g))),
        "thickened": lambda _: rendered(_grown(_masks(own), round(1.25 * _FINE))),
        "thinned": lambda _: rendered(_thinned(_masks(own))),
        "letters, plain fonts": lambda g: rendered(_letters(_PLAIN, count, g)),
        "letters, serif and italic fonts": lambda g: rendered(_letters(_OTHER, count, g)),
        "stroke removed": lambda g: rendered(_interrupted(_masks(own), g)),
        "stroke added": lambda g: rendered(_with_stroke(_masks(own), g)),
        "mirrored": lambda _: _mirrored(own, labels[:count]),
        OTHER_WRITERS: lambda _: rendered(_masks(_emnist(data_dir)[:count])),
        "kmnist, rendered alike": lambda _: rendered(_masks(_kmnist(data_dir)[:count])),
        "digits of 8x8, rendered alike": lambda _: rendered(_small_digits(count)),
    }
    found = {}
    for name in names:
        try:
            found[name] = makers[name](torch.Generator().manual_seed(22))
        except DataError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    return found


def rendered(masks: list[Tensor]) -> Tensor:
    """Masks (H, W) of ink, of any size, as MNIST's pictures (N, 28, 28) uint8: 20 pixels long, centred by mass."""
    return torch.stack([_rendered(mask) for mask in masks])


def _rendered(mask: Tensor) -> Tensor:
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    picture = torch.zeros(_SIDE, _SIDE)
    if len(rows):
        ink = mask[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1].float()
        scale = _BOX / max(ink.shape)
        size = [max(round(side * scale), 1) for side in ink.shape]
        # Means over areas: a smoother filter left pixels that MNIST's do not have, and the verdict saw these alone.
        small = functional.interpolate(ink[None, None], size, mode="area")[0, 0]
        picture[: size[0], : size[1]] = small
    return _centred((picture * 255).round().clamp(0, 255).to(torch.uint8))


def _centred(picture: Tensor) -> Tensor:
    """A picture (28, 28), rolled by whole pixels so that its centre of mass lies within pixel 14, as MNIST's does."""
    mass, places = picture.double(), torch.arange(_SIDE, dtype=torch.float64) + 0.5
    total = float(mass.sum()) or 1.0
    shifts = [round(_SIDE / 2 + 0.5 - float((mass.sum(dim=1 - axis) * places).sum()) / total) for axis in (0, 1)]
    return picture.roll(shifts, (0, 1))


def _masks(pictures: Tensor) -> list[Tensor]:
    """Pictures (N, h, w) uint8 at ``_FINE`` times the resolution, as masks of what is at least half ink."""
    fine = [side * _FINE for side in pictures.shape[1:]]
    parts = torch.split(pictures[:, None].float() / 255, 250)
    smooth = torch.cat([functional.interpolate(part, fine, mode="bicubic")[:, 0] >= 0.5 for part in parts])
    return list(smooth)


def _joined(pictures: Tensor, labels: Tensor, axis: int, generator: torch.Generator) -> Tensor:
    """The first half of each digit along an axis, and the second half of another digit with another label."""
    other = torch.randperm(len(pictures), generator=generator)
    for _ in range(100):
        same = (labels == labels[other]).nonzero()[:, 0]
        if not len(same):
            break
        swapped = torch.randint(len(pictures), (len(same),), generator=generator)
        other[same] = swapped
    joined = pictures.clone()
    second = slice(_SIDE // 2, None)
    if axis == 1:
        joined[:, second] = pictures[other][:, second]
    else:
        joined[:, :, second] = pictures[other][:, :, second]
    return torch.stack([_centred(picture) for picture in joined])


def _mirrored(digits: Tensor, labels: Tensor) -> Tensor:
    """Digits mirrored left to right, without 0, 1 and 8, which are much the same in a mirror."""
    chosen = torch.isin(labels, torch.tensor([0, 1, 8]), invert=True)
    return torch.stack([_centred(picture) for picture in digits[chosen].flip(2)])


def _moved(masks: list[Tensor], offsets: Tensor) -> list[Tensor]:
    """Masks (H, W) whose ink is moved by offsets (N, 28, 28, 2), across and down, in pixels of a picture.

    There is room of a quarter of the side around them, so that no ink is lost.
    """
    room = masks[0].shape[0] // 4
    side = masks[0].shape[0] + 2 * room
    places = torch.linspace(-1, 1, side)
    grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), dim=2)
    found = []
    for mask, offset in zip(masks, offsets, strict=True):
        fine = functional.interpolate(offset.movedim(2, 0)[None], (side, side), mode="bicubic")[0].movedim(0, 2)
        wide = functional.pad(mask.float(), (room, room, room, room))[None, None]
        warped = functional.grid_sample(wide, (grid + fine * (2 * _FINE / side))[None], align_corners=True)
        found.append(warped[0, 0] >= 0.5)
    return found


def _waves(count: int, generator: torch.Generator) -> Tensor:
    """Offsets (count, 28, 28, 2) of sine waves across and down, 2 to 3 pixels high and 12 to 18 long."""
    draws = torch.rand(count, 2, 3, 1, generator=generator)
    height, length, phase = 2 + draws[:, :, 0], 12 + 6 * draws[:, :, 1], 2 * math.pi * draws[:, :, 2]
    waves = height * (2 * math.pi * torch.arange(_SIDE) / length + phase).sin()
    return torch.stack([waves[:, 0, :, None].expand(-1, -1, _SIDE), waves[:, 1, None, :].expand(-1, _SIDE, -1)], dim=3)


def _elastic(count: int, generator: torch.Generator) -> Tensor:
    """Offsets (count, 28, 28, 2) of a smooth random field: 2.5 pixels (RMS), uncorrelated over 7 pixels."""
    coarse = torch.randn(count, 2, 5, 5, generator=generator)
    field = functional.interpolate(coarse, (_SIDE, _SIDE), mode="bicubic", align_corners=True)
    return (2.5 * field / field.std()).movedim(1, 3)


def _grown(masks: list[Tensor], steps: int) -> list[Tensor]:
    """Masks whose ink is grown by so many fine pixels in all directions, with room for it."""
    stack = functional.pad(torch.stack(masks).float(), (steps,) * 4)
    for step in range(steps):
        stack = _dilated(stack, step)
    return [each > 0 for each in stack]


def _thinned(masks: list[Tensor]) -> list[Tensor]:
    """Masks whose ink is shrunk until at most a third of it is left; never so far that less than a sixth is."""
    found = []
    for mask in masks:
        ink, total, step = mask, int(mask.sum()), 0
        while int(ink.sum()) > total / 3:
            less = _dilated((~ink).float()[None], step)[0] == 0
            if int(less.sum()) < total / 6:
                break
            ink, step = less, step + 1
        found.append(ink)
    return found


def _dilated(masks: Tensor, step: int) -> Tensor:
    """Masks (N, H, W) grown by one pixel, by turns to eight and to four neighbours, which makes an octagon."""
    if step % 2:
        return functional.max_pool2d(masks[:, None], 3, 1, 1)[:, 0]
    across = functional.max_pool2d(masks[:, None], (1, 3), 1, (0, 1))[:, 0]
    return torch.maximum(across, functional.max_pool2d(masks[:, None], (3, 1), 1, (1, 0))[:, 0])


def _letters(fonts: tuple[str, ...], count: int, generator: torch.Generator) -> list[Tensor]:
    """Masks of letters in turn and random fonts, slanted a little, with strokes as wide as those of digits."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder, size, side = Path(matplotlib.get_data_path()) / "fonts" / "ttf", 20 * _FINE, 48 * _FINE
    opened = [ImageFont.truetype(str(folder / name), size) for name in fonts]
    found = []
    for number in range(count):
        letter = _LETTERS[number % len(_LETTERS)]
        font = opened[int(torch.randint(len(opened), (1,), generator=generator))]
        widened, slant = torch.rand(2, generator=generator).tolist()
        image = Image.new("L", (side, side))
        place = (side // 2, side // 2)
        ImageDraw.Draw(image).text(place, letter, 255, font, anchor="mm", stroke_width=round(widened * 0.75 * _FINE))
        shear = 0.5 * slant - 0.1
        slanted = image.transform(image.size, Image.Transform.AFFINE, (1, shear, -shear * side / 2, 0, 1, 0))
        found.append(torch.from_numpy(np.array(slanted) >= 128))
    return found


def _interrupted(masks: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Masks without the ink in a disc of 3 pixels of radius around one of their places of ink."""
    found = []
    for mask in masks:
        inside = _disc(mask, _a_place(mask, generator), 3.0)
        found.append(mask & ~inside)
    return found


def _with_stroke(masks: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """Masks with a straight stroke of 8 to 12 pixels, 2.4 wide, from one of their places of ink in any direction."""
    found = []
    for plain in masks:
        room = 6 * _FINE
        mask = functional.pad(plain, (room,) * 4)
        start = _a_place(mask, generator)
        turn, far = torch.rand(2, generator=generator).tolist()
        length, angle = (8 + 4 * far) * _FINE, 2 * math.pi * turn
        ink = mask.clone()
        for share in np.linspace(0, 1, 25):
            reach = share * length
            ink |= _disc(mask, (start[0] + reach * math.sin(angle), start[1] + reach * math.cos(angle)), 1.2)
        found.append(ink)
    return found


def _a_place(mask: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """The row and column of a random place of ink."""
    places = mask.nonzero()
    row, column = places[int(torch.randint(len(places), (1,), generator=generator))].tolist()
    return row, column


def _disc(mask: Tensor, centre: tuple[float, float], radius: float) -> Tensor:
    """Where a mask (H, W) is within a radius, in pixels of a picture, of a place in fine pixels."""
    rows = torch.arange(mask.shape[0])[:, None] - centre[0]
    columns = torch.arange(mask.shape[1]) - centre[1]
    return rows.square() + columns.square() <= (radius * _FINE) ** 2


def _labels(data_dir: Path | None) -> Tensor:
    return idx.read(files.obtain(MNIST.url + _LABELS, f"md5:{_LABELS_MD5}", MNIST.name, data_dir))


def _kmnist(data_dir: Path | None) -> Tensor:
    return idx.read(files.obtain(KMNIST.url + _KMNIST, f"md5:{KMNIST.test_md5}", KMNIST.name, data_dir))


def _emnist(data_dir: Path | None) -> Tensor:
    """The digits of EMNIST, upright: its files hold them lying down."""
    if data_dir is None or not (data_dir / _EMNIST).is_file():
        raise DataError(f"wants --data-dir with {_EMNIST} in it")
    return idx.read(data_dir / _EMNIST).transpose(1, 2).contiguous()


def _small_digits(count: int) -> list[Tensor]:
    """Masks of the digits of other writers that scikit-learn ships in 8x8 pixels with 17 levels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("wants scikit-learn") from error
    small = torch.from_numpy(load_digits().images[:count]).float()[:, None] / 16
    large = functional.interpolate(small, (20 * _FINE, 20 * _FINE), mode="bicubic")[:, 0]
    return list(large >= 0.5)
