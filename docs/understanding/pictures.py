"""The pictures of the pages about mathematics, drawn by the library: `python -m docs.understanding.pictures`.

Each is an SVG in this folder, with colours that colour-blind people tell apart and a ground of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

import flows
from flows import anomaly
from model_store import LoadedModel, Store, default_root

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "tests/data/mnist-subset.npz"
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#6f7780"


def change_of_variables() -> Figure:
    """A grid in latent space, and where `decode` takes it: the density is high where its cells are small."""
    flow = _model("moons").flow
    steps, fine = torch.linspace(-3, 3, 25), torch.linspace(-3, 3, 300)
    figure, (left, right) = _panels(2)
    for step in steps:
        for curve in (torch.stack([step.expand(300), fine], 1), torch.stack([fine, step.expand(300)], 1)):
            with torch.no_grad():
                decoded = flow.decode(curve)[0]
            left.plot(*curve.T, color=GREY, linewidth=0.5, rasterized=True)
            right.plot(*decoded.T, color=GREY, linewidth=0.5, rasterized=True)
    x = torch.from_numpy(_drawn_from(flow, 600, seed=3))
    with torch.no_grad():
        z = flow.encode(x)[0]
    colours = z[:, 0]
    left.scatter(*z.T, c=colours, cmap="viridis", s=6, zorder=2, rasterized=True)
    right.scatter(*x.T, c=colours, cmap="viridis", s=6, zorder=2, rasterized=True)
    left.set(title="latents z = f(x)", xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    right.set(title="items x = f⁻¹(z)", xlim=(-1.6, 2.6), ylim=(-1.1, 1.6), aspect="equal")
    return figure


def couplings() -> Figure:
    """One additive and one affine coupling on a grid: columns stay where they are, and areas grow with the second."""
    torch.manual_seed(4)
    split = flows.EvenOdd(2, parity=0)
    grid = torch.cartesian_prod(torch.linspace(-2, 2, 17), torch.linspace(-2, 2, 17))
    figure, panels = _panels(3)
    layers: list[flows.Transform | None] = [None]
    for kind, outputs in ((flows.AdditiveCoupling, 1), (flows.AffineCoupling, 2)):
        net = flows.MLP(1, [32], outputs)
        with torch.no_grad():  # a net starts at the identity; larger weights show what it can do
            for parameter in net.parameters():
                parameter.copy_(0.45 * torch.randn(parameter.shape))
        layers.append(kind(split, net))
    for axes, layer, title in zip(panels, layers, ("before", "AdditiveCoupling", "AffineCoupling"), strict=True):
        with torch.no_grad():
            y, log_abs_det = (grid, torch.zeros(len(grid))) if layer is None else layer(grid)
        shown = axes.scatter(*y.T, c=log_abs_det, cmap="viridis", vmin=-2, vmax=2, s=9, rasterized=True)
        axes.set(title=title, xlabel="kept entry", ylim=(-7, 7))
    panels[0].set(ylabel="changed entry")
    figure.colorbar(shown, ax=list(panels), label="log_abs_det", shrink=0.8)
    return figure


def dequantisation() -> Figure:
    """Levels of a pixel have probabilities; with uniform noise they have a density whose steps hold the same mass."""
    random = np.random.default_rng(0)
    levels = np.clip(np.round(random.normal(3.2, 1.3, 5000)), 0, 7).astype(int)
    shares = np.bincount(levels, minlength=8) / len(levels)
    figure, (left, right) = _panels(2, height=2.6)
    left.bar(range(8), shares, width=0.12, color=BLUE)
    left.set(title="probability of the level k", xlabel="k")
    noisy, _ = flows.Dequantise(levels=8)(torch.from_numpy(levels)[:, None], torch.rand(len(levels), 1))
    right.hist(noisy[:, 0], bins=np.linspace(0, 1, 65), density=True, color=GREEN, alpha=0.6)
    right.stairs(8 * shares, np.linspace(0, 1, 9), color=BLUE, linewidth=1.5)
    right.set(title="density of (k + u) / levels", xlabel="x")
    return figure


def p_value() -> Figure:
    """The nonconformity scores of held-out digits, and of one digit and one picture of noise."""
    model, digits = _model("mnist-nice"), _digits()
    calibration = model.calibration
    assert isinstance(calibration, anomaly.Calibration)
    scoring = calibration.nonconformity
    held_out = scoring.combined(calibration.features.T.double())
    noise = digits[1].clone()
    noise[4:12, 4:12] = torch.randint(0, 256, (8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = _statistics(model, torch.stack([digits[0], noise]))
    scores, p_values = scoring.combined(scoring.features(found)), calibration.judge(found).p_value
    figure, (axes,) = _panels(1, height=2.8)
    axes.hist(held_out, bins=np.linspace(0, 40, 81), color=GREY, alpha=0.7, label=f"{len(held_out):,} held-out digits")
    for name, score, p, colour in zip(("a digit", "with noise"), scores, p_values, (BLUE, ORANGE), strict=True):
        axes.axvline(min(float(score), 39.5), color=colour, linewidth=2, label=f"{name}: p = {float(p):.2g}")
    beyond = held_out[held_out >= scores[0]]
    axes.hist(beyond, bins=np.linspace(0, 40, 81), color=BLUE, alpha=0.35)
    axes.set(xlabel="nonconformity score", ylabel="digits", xlim=(0, 40))
    axes.legend(frameon=False)
    return figure


def uniform() -> Figure:
    """Sorted p-values of ordinary digits follow the diagonal, whatever the flow; those of other pictures lie below."""
    model, digits = _model("mnist-nice"), _digits()
    calibration = model.calibration
    assert isinstance(calibration, anomaly.Calibration)
    figure, (axes,) = _panels(1, height=3.2, width=4.6)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    ways = {
        "test digits": (digits, BLUE),
        "upside down": (digits.flip(1), GREEN),
        "inverted": (255 - digits, ORANGE),
    }
    for name, (pictures, colour) in ways.items():
        p_values = calibration.judge(_statistics(model, pictures)).p_value.sort().values
        axes.plot(np.arange(1, len(p_values) + 1) / len(p_values), p_values, color=colour, label=name)
    axes.set(xlabel="share of pictures", ylabel="p-value", aspect="equal", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="upper left")
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "change-of-variables": change_of_variables,
    "couplings": couplings,
    "dequantisation": dequantisation,
    "p-value": p_value,
    "uniform": uniform,
}


def main() -> None:
    """Draw them all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--into", type=Path, default=HERE, help="the folder of the pictures")
    chosen = parser.parse_args()
    # The same picture is the same file: no date, no random ids, text as text.
    mpl.rcParams.update({"svg.hashsalt": "sluice", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    for name in chosen.names or PICTURES:
        PICTURES[name]().savefig(chosen.into / f"{name}.svg", dpi=100, facecolor="white", metadata={"Date": None})


def _panels(count: int, height: float = 3.2, width: float = 8.0) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _model(name: str) -> LoadedModel:
    store = Store(default_root())
    return store.load(*store.resolve(name))


def _digits() -> Tensor:
    with np.load(DIGITS) as file:
        return torch.from_numpy(file["test_images"])


def _statistics(model: LoadedModel, pictures: Tensor) -> Tensor:
    with torch.no_grad():
        return anomaly.statistics(model.serving, model.serving.to_continuous(pictures))


def _drawn_from(flow: flows.Flow, count: int, seed: int) -> Any:
    with torch.no_grad():
        return flow.sample(count, torch.Generator().manual_seed(seed)).numpy()


if __name__ == "__main__":
    main()
