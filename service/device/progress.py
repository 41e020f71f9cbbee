"""The history of an inpainting that somebody watches: a bounded number of snapshots, spread evenly over its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from service.device.columns import Columns
from service.protocol.defaults import PICTURED, SNAPSHOTS
from service.protocol.messages import Arrays
from service.protocol.snapshots import reduced, reduced_shape, snapshot_factor


def same(items: np.ndarray) -> np.ndarray:
    """The images that a row shows, where it shows the whole image."""
    return items


class Progress:
    """An observer of n rows that take at most ``steps`` ticks: at most SNAPSHOTS of each row, whatever the steps.

    Of an image the first PICTURED rows keep their pixels, larger ones scaled down (see ``snapshot_factor``). ``framed``
    makes images (K, *image_shape) of what a row shows.
    """

    def __init__(
        self, n: int, steps: int, image_shape: Sequence[int] | None, framed: Callable[[np.ndarray], np.ndarray] = same
    ) -> None:
        self._framed = framed
        self.stride = -(-steps // SNAPSHOTS)
        count = steps // self.stride
        self._log_likelihood = np.full((count, n), np.nan)
        self._items: np.ndarray | None = None
        self._factor = 1
        if image_shape is not None:
            self._factor = snapshot_factor(image_shape[0], image_shape[1])
            shape = reduced_shape(image_shape, self._factor)
            self._items = np.zeros((count, min(n, PICTURED), *shape), dtype=np.uint8)
        self._taken = np.zeros(n, dtype=np.int64)
        self.changed = False
        """Whether something was shown since the last look."""

    def due(self, ticks: int) -> bool:
        return ticks % self.stride == 0

    def show(self, index: Tensor, ticks: int, view: Columns) -> None:
        """Where the rows ``index`` stand: log_likelihood (K,) and items (K, *S)."""
        at, rows = ticks // self.stride - 1, index.numpy()
        self._log_likelihood[at, rows] = view["log_likelihood"].double().numpy()
        if self._items is not None:
            kept = rows < PICTURED
            if kept.any():
                self._items[at, rows[kept]] = reduced(self._framed(view["items"].numpy()[kept]), self._factor)
        self._taken[rows] = at + 1
        self.changed = True

    def latest(self) -> tuple[int, float, np.ndarray | None] | None:
        """The furthest step, the log-likelihood of the likeliest row, and the pictured rows (K, *S); None at first."""
        begun = self._taken.nonzero()[0]
        if not len(begun):
            return None
        last = self._taken[begun] - 1
        likeliest = float(self._log_likelihood[last, begun].max())
        items = None
        if self._items is not None:
            shown = begun < PICTURED
            items = self._items[last[shown], begun[shown]]
        return int(self._taken.max()) * self.stride, likeliest, items

    def history(self) -> Arrays:
        """log_likelihood (K, n) and taken (n,), and items (K, up to 16, *S) of an image, up to the latest snapshot."""
        count = int(self._taken.max())
        found = {"log_likelihood": self._log_likelihood[:count], "taken": self._taken}
        if self._items is not None:
            found["items"] = self._items[:count]
        return found
