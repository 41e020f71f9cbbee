"""A curve of characters: the log-likelihoods of a run so far, for a terminal."""

from __future__ import annotations

import math

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

HEIGHT = 9
WIDEST = 72
"""Columns of the plot at most."""
_KEPT = 4 * WIDEST
"""Points of training steps that are kept at most; neighbours are merged beyond that."""
_SHOWN = 0.85
"""The share of the points that the vertical axis holds: the first steps lie far below all others."""
_TRAINING, _VALIDATION = "·", "●"


class Curve:
    """Mean log-likelihoods in nats against epochs: one mark for the training steps, another for the validation."""

    def __init__(self) -> None:
        self.training: list[tuple[float, float]] = []
        self.validation: list[tuple[float, float]] = []

    def trained(self, epoch: float, nats: float) -> None:
        """A training step's log-likelihood, at a number of epochs since the run began."""
        if math.isfinite(nats):
            self.training.append((epoch, nats))
        if len(self.training) > _KEPT:
            pairs = zip(self.training[::2], self.training[1::2], strict=False)
            self.training = [((a + b) / 2, (x + y) / 2) for (a, x), (b, y) in pairs]

    def validated(self, epoch: float, nats: float) -> None:
        """The validation after an epoch, or at epoch 0 that of the initial state."""
        self.validation.append((epoch, nats))

    def lines(self, width: int) -> list[str]:
        """The plot as lines of at most ``width`` characters; none before there are two points."""
        points = self.training + self.validation
        if len(points) < 2:
            return []
        heights = sorted(nats for _, nats in points)
        high = heights[-1]
        low = min(heights[int((1 - _SHOWN) * len(heights))], *(nats for _, nats in self.validation[-1:]))
        if high - low < 1e-9 * max(1.0, abs(high)):
            low = high - 1e-9 * max(1.0, abs(high))
        labels = [_short(value, high - low) for value in (high, (high + low) / 2, low)]
        margin = max(map(len, labels)) + 1
        columns = max(8, min(WIDEST, width - margin - 3))
        first, last = min(epoch for epoch, _ in points), max(epoch for epoch, _ in points)
        cells = [[" "] * columns for _ in range(HEIGHT)]
        for mark, series in ((_TRAINING, self.training), (_VALIDATION, self.validation)):
            for epoch, nats in series:
                if nats >= low:
                    column = round((columns - 1) * (epoch - first) / ((last - first) or 1))
                    cells[round((HEIGHT - 1) * (high - nats) / (high - low))][column] = mark
        told = dict(zip((0, HEIGHT // 2, HEIGHT - 1), labels, strict=True))
        rows = [f"{told.get(at, ''):>{margin}} │{''.join(row)}".rstrip() for at, row in enumerate(cells)]
        legend = f"nats by epoch, to {last:.4g}"
        marks = f"  {_TRAINING} training  {_VALIDATION} validation"
        legend += marks if len(legend + marks) <= columns else ""
        return [*rows, f"{'':>{margin}} └{'─' * columns}", f"{'':>{margin}}  {legend}"]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(options.max_width):
            text = Text(line, no_wrap=True)
            text.highlight_regex(_VALIDATION, "bold")
            text.highlight_regex(_TRAINING, "cyan")
            yield text


def _short(value: float, spread: float) -> str:
    """A number with as many places as tell neighbours on the axis apart."""
    places = min(6, max(0, 2 - math.floor(math.log10(spread)))) if spread > 0 else 2
    return f"{value:,.{places}f}"
