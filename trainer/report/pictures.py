"""The pictures of what a flow has learnt, for a model card, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flows import Flow
from trainer.report.drawing import BLUE, COLOURS, GREY, INK, ORANGE, axes_of, figure_of, png_of
from trainer.report.evaluation import Latents
from trainer.run.state import EpochRecord, Validation

GRID = 8
SAMPLE_TEMPERATURE = 0.7
"""Temperature of the first samples shown, beside those at 1. Below 1 strokes are more coherent."""


def samples(flow: Flow, seed: int, temperature: float = SAMPLE_TEMPERATURE, side: int = GRID) -> bytes:
    """A grid of ``side`` times ``side`` samples of an image flow, enlarged twofold."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        items = flow.to_items(flow.sample(side * side, generator, temperature)).cpu().numpy()
    height, width, *channels = items.shape[1:]
    rows = items.reshape(side, side, height, width, *channels).swapaxes(1, 2)
    sheet = Image.fromarray(rows.reshape(side * height, side * width, *channels))
    return png_of(sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST))


def density(flow: Flow, data: Tensor, resolution: int = 200) -> bytes:
    """The density of a flow in the plane, beside points (N, 2) of the data.

    The axes are cut at extreme quantiles of the points, and the colours at one of the density, so that the shape shows.
    """
    low, high = data.quantile(torch.tensor([0.002, 0.998]), dim=0) + torch.tensor([[-0.4], [0.4]])
    x, y = (torch.linspace(float(low[axis]), float(high[axis]), resolution) for axis in (0, 1))
    points = torch.cartesian_prod(x, y).to(flow.device, flow.dtype)
    with torch.no_grad():
        heights = flow.log_prob(points).exp().reshape(resolution, resolution).T.cpu()
    extent = (float(x[0]), float(x[-1]), float(y[0]), float(y[-1]))
    figure = figure_of(9, 4.5)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    left.set(title="density", aspect="equal")
    left.imshow(heights.numpy(), origin="lower", extent=extent, vmax=float(heights.quantile(0.995)), cmap=COLOURS)
    right.set(title="data", aspect="equal", xlim=extent[:2], ylim=extent[2:])
    right.scatter(*data[:5000].T.numpy(), s=1, alpha=0.4, color=BLUE)
    return png_of(figure)


def curve(
    history: Sequence[EpochRecord], best: Validation, initial: Validation | None = None, *, of: str = "epoch"
) -> bytes:
    """Mean log-likelihood of the training and validation split against the epoch, with the initial state as epoch 0.

    A training without epochs has looks at the validation split in their place: so the axis is ``of`` looks. An initial
    state that lies far below all epochs is outside of the plot, which would show little else.
    """
    figure, axes = axes_of(of, "mean log-likelihood in nats")
    epochs = [record.epoch for record in history]
    training = [record.train for record in history]
    validated = [*([initial] if initial else []), *history]
    axes.plot(epochs, training, marker=".", linestyle="--", color=ORANGE, label=f"training, up to the {of}")
    axes.plot(
        [each.epoch for each in validated],
        [each.validation for each in validated],
        marker="o",
        markersize=4,
        color=BLUE,
        label="validation",
    )
    shown = [*training, *(record.validation for record in history)]
    spread = max(shown) - min(shown)
    if initial and spread > 0 and initial.validation < min(shown) - spread:
        axes.set_ylim(min(shown) - spread, max(shown) + 0.05 * spread)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.axvline(best.epoch, color=GREY, linestyle=":", label="kept")
    axes.legend()
    return png_of(figure)


def histogram(scores: Tensor) -> bytes:
    """A histogram of log-likelihoods (N,) of test items, without the lowest percent, whose tail is long."""
    figure, axes = axes_of("log-likelihood of a test item in nats", "items")
    values = scores.numpy()
    axes.hist(values[values >= np.quantile(values, 0.01)], bins=60, color=BLUE)
    axes.axvline(float(scores.mean()), color=INK, linestyle=":", label="mean of all")
    axes.legend()
    return png_of(figure)


def latents(found: Latents) -> bytes:
    """A histogram of the latents of test items, all dimensions together, with the prior's density."""
    figure, axes = axes_of("latent", "density")
    edges = found.prior.quantile(torch.tensor([1e-4, 1 - 1e-4], dtype=torch.float64))
    grid = torch.linspace(float(edges[0]), float(edges[1]), 121)
    counts = torch.histogram(found.values.flatten().float(), grid).hist
    axes.stairs(
        (counts / (found.values.numel() * grid.diff())).numpy(),
        grid.numpy(),
        fill=True,
        color=BLUE,
        alpha=0.6,
        label="test items",
    )
    axes.plot(grid.numpy(), found.prior.log_density(grid).exp().numpy(), color=INK, label="prior")
    axes.legend()
    return png_of(figure)
