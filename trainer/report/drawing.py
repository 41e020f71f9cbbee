"""How pictures of a model card look: legible on a dark page, and to people who see few colours.

The ground is opaque, so a page's own colour changes nothing. Lines differ in more than their colour.
"""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
"""Of the palette of Okabe and Ito (2008), which colour-blind people tell apart."""
INK, GREY, GROUND = "#1b1d1f", "#767676", "#ffffff"
COLOURS = "cividis"
"""Of a density: even in brightness, and the same to colour-blind people (Nunez et al. 2018)."""
RARITY_COLOURS = "plasma"
"""Of a map over a picture, as the service draws them."""


def figure_of(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    return Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor=GROUND)


def axes_of(x: str, y: str, height: float = 4) -> tuple[Figure, Any]:
    """A figure with one pair of axes and their labels."""
    figure = figure_of(6, height)
    axes: Axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def png_of(picture: Figure | Image.Image) -> bytes:
    """A figure or a picture as PNG bytes."""
    buffer = io.BytesIO()
    if isinstance(picture, Image.Image):
        picture.save(buffer, "png", optimize=True)
    else:
        # `savefig` draws a figure twice, the first time for its layout alone. To draw it once gives the same bytes.
        FigureCanvasAgg(picture).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()
