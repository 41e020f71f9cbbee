"""Images inside a flow: planes of channels, and the splits and the squeeze of image couplings.

Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", 2017 (arXiv:1605.08803), sections 3.4 to 3.6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from flows.errors import ArchitectureError, ShapeMismatch
from flows.transforms.coupling import Split
from flows.transforms.transform import Compose, Transform, no_volume_change

Shape = tuple[int, int, int]
"""Channels, height and width of the planes (B, C, H, W) between two transforms."""


class Planes(Transform):
    """Images (B, H, W) or (B, H, W, C) to planes (B, C, H, W); preserves volume.

    >>> flows.Planes((28, 28))(torch.zeros(2, 28, 28))[0].shape
    torch.Size([2, 1, 28, 28])
    """

    rearranges = True

    def __init__(self, item_shape: Sequence[int]) -> None:
        super().__init__()
        if len(item_shape) not in (2, 3):
            raise ShapeMismatch(f"an image has shape (H, W) or (H, W, C), got {tuple(item_shape)}")
        self.item_shape = tuple(item_shape)
        height, width, *channels = self.item_shape
        self.shape: Shape = (math.prod(channels), height, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if tuple(x.shape[1:]) != self.item_shape:
            raise ShapeMismatch(f"expected items of shape {self.item_shape}, got {tuple(x.shape[1:])}")
        planes = x.unsqueeze(1) if x.ndim == 3 else x.movedim(-1, 1)
        return planes, no_volume_change(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        x = y.squeeze(1) if len(self.item_shape) == 2 else y.movedim(1, -1)
        return x, no_volume_change(y)

    def extra_repr(self) -> str:
        return f"{self.item_shape}"


class Squeeze(Transform):
    """(B, C, H, W) to (B, 4C, H/2, W/2): each block of 2x2 places becomes four channels; preserves volume.

    The first half of the channels holds the upper rows of the blocks, the second half the lower rows. A split into
    halves of the channels is therefore not a checkerboard.

    >>> flows.Squeeze()(torch.arange(4.0).reshape(1, 1, 2, 2))[0].flatten()
    tensor([0., 1., 2., 3.])
    """

    rearranges = True

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat(_corners(x), dim=1), no_volume_change(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return _from_corners(*y.chunk(4, dim=1)), no_volume_change(y)


class Halves(Split):
    """Splits channels (B, C, ...) into halves: parity 0 keeps the first half, parity 1 the second.

    >>> kept, changed = flows.Halves(4, parity=1)(torch.arange(4.0).reshape(1, 4, 1, 1))
    >>> kept.flatten(), changed.flatten()
    (tensor([2., 3.]), tensor([0., 1.]))
    """

    def __init__(self, channels: int, parity: int) -> None:
        super().__init__()
        if channels < 2:
            raise ShapeMismatch(f"a coupling needs at least two channels to split, got {channels}")
        self.channels, self.parity = channels, parity % 2
        self.kept = channels // 2 if self.parity == 0 else channels - channels // 2
        self.changed = channels - self.kept

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[1] != self.channels:
            raise ShapeMismatch(f"expected (B, {self.channels}, ...), got {tuple(x.shape)}")
        first, second = torch.split(x, [self.channels // 2, self.channels - self.channels // 2], dim=1)
        return (first, second) if self.parity == 0 else (second, first)

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        return torch.cat((kept, changed) if self.parity == 0 else (changed, kept), dim=1)

    def extra_repr(self) -> str:
        return f"{self.channels}, parity={self.parity}"


class Checkerboard(Split):
    """Splits (B, C, H, W) like a checkerboard, each colour packed as (B, 2C, H/2, W/2).

    Parity 0 keeps the colour of the upper left corner. Real NVP's mask (section 3.4) fills one colour with zeros and
    discards half of the net's outputs. Here the two squares of a colour in each block of 2x2 become channels, and the
    net works on a quarter of the places.

    >>> kept, changed = flows.Checkerboard(1, parity=0)(torch.arange(4.0).reshape(1, 1, 2, 2))
    >>> kept.flatten(), changed.flatten()
    (tensor([0., 3.]), tensor([1., 2.]))
    """

    def __init__(self, channels: int, parity: int) -> None:
        super().__init__()
        self.parity = parity % 2
        self.kept = self.changed = 2 * channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if 2 * x.shape[1] != self.kept:
            raise ShapeMismatch(f"expected (B, {self.kept // 2}, H, W), got {tuple(x.shape)}")
        a, b, c, d = _corners(x)
        falling, rising = torch.cat((a, d), dim=1), torch.cat((b, c), dim=1)
        return (falling, rising) if self.parity == 0 else (rising, falling)

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        falling, rising = (kept, changed) if self.parity == 0 else (changed, kept)
        (a, d), (b, c) = falling.chunk(2, dim=1), rising.chunk(2, dim=1)
        return _from_corners(a, b, c, d)

    def extra_repr(self) -> str:
        return f"{self.kept // 2}, parity={self.parity}"


class MultiScale(Transform):
    """A chain of scales, (B, C, H, W) -> (B, D); after each but the last, half of the channels become latents.

    Those latents go through no further scale (section 3.6). The result holds all latents, flattened, in the order in
    which they become final. ``shapes`` are the output shapes (C, H, W) of the scales.

    >>> scales = [flows.Compose([flows.Squeeze()]), flows.Compose([flows.Squeeze()])]
    >>> flows.MultiScale(scales, [(4, 4, 4), (8, 2, 2)])(torch.zeros(3, 1, 8, 8))[0].shape
    torch.Size([3, 64])
    """

    def __init__(self, scales: Sequence[Compose], shapes: Sequence[Shape]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)
        self.halves = [Halves(channels, parity=0) for channels, _, _ in shapes[:-1]]
        self.finished = [
            *((half.changed, height, width) for half, (_, height, width) in zip(self.halves, shapes, strict=False)),
            shapes[-1],
        ]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts, total = [], no_volume_change(x)
        for index, scale in enumerate(self._scales()):
            if index:
                x, part = self.halves[index - 1](x)
                parts.append(part)
            x, log_abs_det = scale(x)
            total = total + log_abs_det
        return torch.cat([part.flatten(1) for part in (*parts, x)], dim=1), total

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        total = no_volume_change(y)

        def undo(scale: Transform, x: Tensor) -> Tensor:
            nonlocal total
            x, log_abs_det = scale.inverse(x)
            total = total + log_abs_det
            return x

        return self._joined(y, undo), total

    def put_back(self, y: Tensor) -> Tensor:
        return self._joined(y, lambda scale, x: scale.put_back(x))

    def _joined(self, y: Tensor, undo: Callable[[Transform, Tensor], Tensor]) -> Tensor:
        """y (B, D) to planes (B, C, H, W): undo scales from the last to the first, joining the latents after each."""
        sizes = [math.prod(shape) for shape in self.finished]
        if y.ndim != 2 or y.shape[1] != sum(sizes):
            raise ShapeMismatch(f"expected (B, {sum(sizes)}), got {tuple(y.shape)}")
        rows = torch.split(y, sizes, dim=1)
        parts = [part.reshape(len(y), *shape) for part, shape in zip(rows, self.finished, strict=True)]
        x = parts.pop()
        for scale in reversed(self._scales()):
            x = undo(scale, x)
            if parts:
                x = self.halves[len(parts) - 1].merge(x, parts.pop())
        return x

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        parts = []
        for index, scale in enumerate(self._scales()):
            if index:
                x, part = self.halves[index - 1](x)
                parts.append(part)
            x = scale.initialise(x)
        return torch.cat([part.flatten(1) for part in (*parts, x)], dim=1)

    def _scales(self) -> list[Transform]:
        return cast("list[Transform]", list(self.scales))


def multi_scale(shape: Shape, levels: int, scale: Callable[[Shape, bool], tuple[list[Transform], Shape]]) -> MultiScale:
    """``levels`` scales for planes of a shape (C, H, W). ``scale(shape, last)`` makes one and gives its output shape.

    Raises ArchitectureError unless the sides are multiples of 2^levels, since each scale halves them.
    """
    if any(side % 2**levels for side in shape[1:]):
        raise ArchitectureError(f"levels: {levels} need sides that are multiples of {2**levels}, got {shape[1:]}")
    scales, shapes = [], []
    for level in range(levels):
        transforms, shape = scale(shape, level == levels - 1)
        scales.append(Compose(transforms))
        shapes.append(shape)
        shape = (shape[0] // 2, *shape[1:])
    return MultiScale(scales, shapes)


def _corners(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four corners of each 2x2 block of (B, C, H, W), row by row, (B, C, H/2, W/2) each."""
    if x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2:
        raise ShapeMismatch(f"expected (B, C, H, W) with even sides, got {tuple(x.shape)}")
    return x[..., 0::2, 0::2], x[..., 0::2, 1::2], x[..., 1::2, 0::2], x[..., 1::2, 1::2]


def _from_corners(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The inverse of ``_corners``."""
    upper, lower = torch.stack((a, b), dim=-1).flatten(-2), torch.stack((c, d), dim=-1).flatten(-2)
    return torch.stack((upper, lower), dim=3).flatten(2, 3)
