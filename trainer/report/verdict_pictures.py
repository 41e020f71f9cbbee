"""The pictures of how a model judges items, for a model card, as PNG bytes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flows import Flow, anomaly
from flows.anomaly import Calibration, CrossCalibration, MapCalibration, PictureCalibration
from trainer.report.corruptions import corruptions
from trainer.report.drawing import BLUE, GREY, INK, RARITY_COLOURS, RED, axes_of, figure_of, png_of

ALPHAS = ((0.1, ":"), (0.01, "--"), (0.001, "-."))
"""False-alarm rates that are marked in the histogram, each with its style of line."""
_LEAST = 1e-2
"""Where the axis of scores begins at the lowest; it is logarithmic."""
_BINS = 61
_EXAMPLES = 4
_FAULT = "pasted square"
_COMMON, _RARE = 1.0, 5.0
"""The rarities of the first and the last colour: 1 place in 10, and 1 in 100,000."""


def calibration(found: Calibration | CrossCalibration | PictureCalibration) -> bytes:
    """A histogram of the nonconformity scores that p-values rank an item among, and where alarms begin."""
    scores = found.ordinary_scores.double().cpu().clamp(min=_LEAST)
    figure, axes = axes_of("nonconformity score", "held-out items")
    axes.hist(
        scores.numpy(),
        bins=np.geomspace(float(scores.min()), 1.001 * float(scores.max()), _BINS),
        color=BLUE,
        alpha=0.6,
    )
    for alpha, style in ALPHAS:
        if alpha >= 1 / (len(scores) + 1):
            axes.axvline(float(scores.quantile(1 - alpha)), color=INK, linestyle=style, label=f"alarms at {alpha:g}")
    axes.set_xscale("log")  # a few of the scores can lie a hundred times as far out as the others
    axes.legend()
    return png_of(figure)


@torch.no_grad()
def map_example(flow: Flow, found: MapCalibration, items: Tensor) -> bytes:
    """The first of the pictures (N, H, W[, C]) with a square pasted into each, and the maps of where they are strange.

    The frame shows where the square is.
    """
    ordinary = items[:_EXAMPLES]
    faulty = corruptions(ordinary)[_FAULT]
    rarity = found.judge(anomaly.pixel_nats(flow, flow.to_continuous(faulty)).cpu()).rarity
    changed = (faulty != ordinary).reshape(*faulty.shape[:3], -1).any(dim=3)
    figure = figure_of(1.8 * len(ordinary) + 0.9, 3.7)
    axes = figure.subplots(2, len(ordinary), squeeze=False)
    for column in range(len(ordinary)):
        for row in (0, 1):
            axes[row, column].set_axis_off()
            axes[row, column].imshow(faulty[column].numpy(), cmap="gray", vmin=0, vmax=255)
        axes[1, column].imshow(rarity[column].numpy(), cmap=RARITY_COLOURS, vmin=_COMMON, vmax=_RARE, alpha=0.8)
        _frame(axes[0, column], changed[column], RED)
        _frame(axes[1, column], changed[column], "#00dcff")
    axes[0, 0].set_title("with a square", loc="left", fontsize=9, color=GREY)
    axes[1, 0].set_title("the map", loc="left", fontsize=9, color=GREY)
    bar = figure.colorbar(axes[1, 0].images[-1], ax=axes[1, :].tolist(), ticks=[1, 2, 3, 4, 5])
    bar.ax.set_yticklabels([f"1 in {10**power:,}" for power in (1, 2, 3, 4, 5)], fontsize=7)
    return png_of(figure)


def _frame(axes, changed: Tensor, colour: str) -> None:  # type: ignore[no-untyped-def]  # matplotlib's own types
    rows, columns = changed.any(dim=1).nonzero().flatten().tolist(), changed.any(dim=0).nonzero().flatten().tolist()
    if rows:
        top, left = rows[0] - 0.5, columns[0] - 0.5
        sides = (
            [left, columns[-1] + 0.5, columns[-1] + 0.5, left, left],
            [top, top, rows[-1] + 0.5, rows[-1] + 0.5, top],
        )
        axes.plot(*sides, color=colour, linewidth=1.5)
