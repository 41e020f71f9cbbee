"""An inpainting as an animated picture: what was known, how the rest changed, and the result."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from service.media.grids import grid
from service.media.pictures import Pixels
from service.media.types import WEBP
from service.protocol.defaults import PICTURED
from service.protocol.messages import Completed
from service.protocol.snapshots import reduced, snapshot_factor

_FRAME, _FIRST, _LAST = 80, 600, 1600  # milliseconds
_SIDE = 128
"""Pixels to which small images are enlarged, so that they can be watched."""


def frames_of(completed: Completed) -> list[Pixels]:
    """The known part with the unknown in grey, the snapshots, the result: each a grid of the pictured completions."""
    draw, history = completed.arrays["draw"], completed.history
    kept = draw < PICTURED
    draws, final = draw[kept], _as_snapshots(completed.arrays["items"][kept])
    known = np.broadcast_to(_as_snapshots(history["known"]), final.shape)
    climbing = _standing(history["items"], history["taken"], final[draws.argsort()])[:, draws]
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


def _as_snapshots(images: Pixels) -> Pixels:
    """Pictures (K, H, W[, C]) of the size that they have in snapshots."""
    smaller: Pixels = reduced(images, snapshot_factor(*images.shape[1:3]))
    return smaller


def _standing(items: Pixels, taken: np.ndarray, final: Pixels) -> Pixels:
    """Snapshots (F, K, *S) of the first K draws, where a draw that has ended stands at its ``final`` (K, *S)."""
    ended = np.arange(len(items))[:, None] >= taken[None, : len(final)]
    stood: Pixels = np.where(ended.reshape(*ended.shape, *[1] * (final.ndim - 1)), final, items)
    return stood


def _zoomed(images: Pixels) -> Pixels:
    """(K, H, W[, C]) with every pixel a square."""
    factor = max(_SIDE // max(images.shape[1:3]), 1)
    pixels: Pixels = np.repeat(np.repeat(images, factor, axis=1), factor, axis=2)
    return pixels
