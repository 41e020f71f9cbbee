"""A climb as an animated picture: what was known, how the rest changed, and the result."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import Tensor

from service.columns import Columns
from service.grid import grid
from service.inpainting import Asked
from service.negotiation import WEBP
from service.pictures import Pixels
from service.progress import PICTURED, Progress

_FRAME, _FIRST, _LAST = 80, 600, 1600  # milliseconds
_UNKNOWN = 128
_SIDE = 128


def frames_of(asked: Asked, progress: Progress, found: Columns) -> list[Pixels]:
    """The known part with the unknown in grey, the snapshots, the result: each a grid of the pictured completions."""
    kept = found["draw"] < PICTURED
    draws, final = found["draw"][kept], found["items"][kept]
    climbing = progress.frames(final[draws.argsort()])[:, draws]
    known = asked.item.masked_fill(asked.hidden, _UNKNOWN).expand_as(final)
    return [grid(_zoomed(frame)) for frame in (known, *climbing, final)]


def animate(frames: list[Pixels], form: str) -> bytes:
    """An endless WebP (lossless) or GIF, the first and the last frame held."""
    first, *others = (Image.fromarray(frame[..., 0] if frame.shape[2:] == (1,) else frame) for frame in frames)
    durations = [_FIRST, *[_FRAME] * (len(frames) - 2), _LAST]
    stream = io.BytesIO()
    if form == WEBP:
        first.save(stream, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, lossless=True)
    else:
        first.save(stream, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return stream.getvalue()


def _zoomed(images: Tensor) -> Pixels:
    """(K, H, W[, C]) with every pixel a square, so that small images can be watched."""
    factor = max(_SIDE // max(images.shape[1:3]), 1)
    pixels: Pixels = np.repeat(np.repeat(images.numpy(), factor, axis=1), factor, axis=2)
    return pixels
