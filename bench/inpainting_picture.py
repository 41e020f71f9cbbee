"""The picture of the README: original, masked, and four completions, for some masks and digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor

Row = tuple[Tensor, Tensor, Tensor]
"""A digit (H, W) uint8, what was hidden of it (H, W) bool, its completions (n, H, W) uint8."""


def draw(rows: Mapping[str, Sequence[Row]], path: Path) -> None:
    """One block of columns a mask, one line a digit; hidden pixels are shown in blue."""
    lines = max(len(group) for group in rows.values())
    each = 2 + max(len(row[2]) for group in rows.values() for row in group)
    widths = ([1.0] * each + [0.35]) * len(rows)
    figure, axes = plt.subplots(
        lines, len(widths), figsize=(0.7 * sum(widths), 0.7 * lines + 0.35), width_ratios=widths, squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for block, (name, group) in enumerate(rows.items()):
        left = block * (each + 1)
        for line, (image, hidden, completions) in enumerate(group):
            tiles = [_colour(image), _masked(image, hidden), *map(_colour, completions)]
            for column, tile in enumerate(tiles):
                axes[line, left + column].imshow(tile.numpy(), interpolation="nearest")
        titles = ["original", name, "completions"]
        for column, title in enumerate(titles):
            axes[0, left + column].set_title(title, fontsize=6.5, loc="left", pad=3)
    figure.subplots_adjust(
        left=0.005, right=0.995, bottom=0.01, top=1 - 0.3 / (0.7 * lines + 0.35), wspace=0.06, hspace=0.06
    )
    figure.savefig(path, dpi=160)
    plt.close(figure)


def _colour(image: Tensor) -> Tensor:
    return image[..., None].expand(*image.shape, 3)


def _masked(image: Tensor, hidden: Tensor) -> Tensor:
    blue = torch.tensor([70, 110, 180], dtype=torch.uint8)
    return torch.where(hidden[..., None], blue, _colour(image))
