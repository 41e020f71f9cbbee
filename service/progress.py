"""How an inpainting gets on: what the device thread shows of its rows between ticks, for any number of readers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from service.columns import Columns

SNAPSHOTS = 48
"""The most that is kept of one inpainting, evenly spread over its steps."""
PICTURED = 16
"""The first so many completions keep their pixels."""


@dataclass(frozen=True)
class Snapshot:
    """The latest that is known of each row."""

    step: int
    """Of the row that is furthest."""
    log_likelihood: float
    """Of the likeliest row, in nats."""
    items: Tensor | None
    """(K, *S) uint8, K at most PICTURED; None for vectors."""


class Progress:
    """An observer of n rows that take at most ``steps`` ticks: at most SNAPSHOTS of each, whatever the steps.

    The device thread writes and never waits; a reader gets the latest and misses what lay between.
    """

    def __init__(self, n: int, steps: int, image_shape: Sequence[int] | None) -> None:
        self._loop, self._changed, self._lock = asyncio.get_running_loop(), asyncio.Event(), threading.Lock()
        self._stride = -(-steps // SNAPSHOTS)
        count = steps // self._stride
        self._log_likelihood = torch.full((count, n), torch.nan, dtype=torch.float64)
        self._items: Tensor | None = None
        if image_shape is not None:
            self._items = torch.zeros((count, min(n, PICTURED), *image_shape), dtype=torch.uint8)
        self._taken = torch.zeros(n, dtype=torch.int64)

    def due(self, ticks: int) -> bool:
        """Whether rows are to be shown after so many ticks."""
        return ticks % self._stride == 0

    def show(self, index: Tensor, ticks: int, view: Columns) -> None:
        """Where the rows ``index`` stand: log_likelihood and items. Called by the device thread."""
        at = ticks // self._stride - 1
        with self._lock:
            self._log_likelihood[at, index] = view["log_likelihood"].double()
            if self._items is not None:
                kept = index < PICTURED
                self._items[at, index[kept]] = view["items"][kept]
            self._taken[index] = at + 1
        self.wake()

    def wake(self) -> None:
        """Let every reader look again. Any thread may call it."""
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def latest(self) -> Snapshot | None:
        """None before the first."""
        with self._lock:
            begun = self._taken.nonzero().flatten()
            if not len(begun):
                return None
            last = self._taken[begun] - 1
            likeliest = float(self._log_likelihood[last, begun].max())
            items = None
            if self._items is not None:
                shown = begun < PICTURED
                items = self._items[last[shown], begun[shown]]
            return Snapshot(int(self._taken.max()) * self._stride, likeliest, items)

    async def after(self, step: int, patience: float) -> Snapshot | None:
        """The latest as soon as it is beyond ``step``; None when ``patience`` seconds have passed, or all is over."""
        changed = self._changed
        if self.news(step) is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), patience)
        return self.news(step)

    def news(self, step: int) -> Snapshot | None:
        """The latest if it is beyond ``step``."""
        snapshot = self.latest()
        return snapshot if snapshot is not None and snapshot.step > step else None

    def trace(self, row: int) -> list[tuple[int, float]]:
        """Steps taken, and the log-likelihood there in nats."""
        with self._lock:
            values = self._log_likelihood[: int(self._taken[row]), row].tolist()
        return [((at + 1) * self._stride, value) for at, value in enumerate(values)]

    def frames(self, final: Tensor) -> Tensor:
        """(F, K, *S) uint8: the first K rows as they changed; a row that has ended stands at ``final`` (K, *S)."""
        assert self._items is not None
        with self._lock:
            taken = self._taken[: len(final)]
            count = int(taken.max())
            ended = torch.arange(count).unsqueeze(1) >= taken
            over = ended.reshape(*ended.shape, *[1] * (final.dim() - 1))
            return torch.where(over, final, self._items[:count])
