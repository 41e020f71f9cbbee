"""What the scripts of the gallery share: their options, their colours, and the place of their pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "tests/data/mnist-subset.npz"
"""1,500 real digits that travel with the tests."""
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#6f7780"
"""Colours that colour-blind people tell apart (Okabe & Ito 2008)."""


def options(about: str) -> argparse.Namespace:
    """The options of a script."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a few steps only, to see that it works")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder of the picture")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the service, where the script asks one")
    parser.add_argument("--data-dir", type=Path, help="the folder with MNIST's original files, where a script trains")
    chosen = parser.parse_args()
    chosen.into.mkdir(parents=True, exist_ok=True)
    mpl.use("agg")
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    return chosen


def show_images(axes: Any, sheet: Any, title: str = "") -> None:
    """One picture, or several in one array, in grey and without ticks."""
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255)
    axes.set(title=title, xticks=[], yticks=[])


def save(figure: Any, into: Path, script: str) -> None:
    """Write the picture of a script."""
    path = into / f"{Path(script).stem}.png"
    figure.savefig(path, dpi=110, facecolor="white")
    print(f"drew {path.name}")
