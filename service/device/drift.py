"""Watches whether the items that a model scores are still drawn as those that calibrated it.

The p-values of every request are gathered where they are computed. Martingales take them in blocks, after the answers
have been sent, so that no request waits for them.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly import BINS, BLOCK, LEVELS, Martingales, bonferroni
from model_store import LoadedModel
from service.device.columns import Columns
from service.device.drift_files import DriftFile, KeptDrift
from service.device.drift_series import ColumnSeries, PValueSeries, Series, counted
from service.device.jobs import Job
from service.protocol.drift import KeyDrift, ModelDrift, SeriesDrift
from service.protocol.tenants import is_address

ALL = ""
"""Stands for the items of all requests, where a key's name would stand."""
MOST_KEYS = 32
"""Keys of a model that are watched on their own: the first ones. The others count among all requests only."""
_MOST_MODELS = 256
_MOST_WAITING = 100_000
"""Items that may wait to be taken; those beyond are left out, whatever their p-values."""
_LARGE = 16 * BLOCK
"""Items of a block where so many wait: it takes hardly longer than a small one, and notices a change hardly later."""


class Scored(NamedTuple):
    """Items of one request, or a part of them."""

    p_values: Tensor
    ranks: Tensor
    items: Tensor | None
    """Points of rows of a table whose columns are watched, with missing cells drawn."""

    def rows(self, start: int, stop: int | None) -> Scored:
        items = None if self.items is None else self.items[start:stop]
        return Scored(self.p_values[start:stop], self.ranks[start:stop], items)


class Watch:
    """The martingales of one model's live items, of all requests or of one key's."""

    def __init__(self, p_series: PValueSeries, columns: ColumnSeries | None, kept: KeptDrift | None) -> None:
        self._p_series, self._columns = p_series, columns
        self.series: list[Series] = [*p_series.series, *(columns.series if columns else ())]
        cells = torch.cat([p_series.cells, columns.cells]) if columns else p_series.cells
        now = time.time()
        if kept is None:
            kept = KeptDrift(now, 0, [0] * BINS, [now] * len(self.series), {})
            self.martingales = Martingales(cells)
        else:
            self.martingales = Martingales.from_tensors(cells, kept.read())
            if len(kept.low_at) != len(self.series) or len(kept.below) != BINS:
                raise ValueError("the state is of other series")
        self.began, self.items = kept.began, kept.items
        self.below = torch.tensor(kept.below)
        """(BINS,): items whose combined p-value is at most each level, and all of them."""
        self.sum = kept.sum
        self.low_at = list(kept.low_at)
        """When the block began that led to the least value of each martingale."""
        self._latest = now
        self._levels = torch.tensor(LEVELS, dtype=torch.float64)
        self._waiting: deque[Scored] = deque()
        self.waiting = 0

    def saw(self, found: Scored) -> None:
        """Items that have been scored."""
        if self.waiting < _MOST_WAITING:
            self._waiting.append(found)
            self.waiting += len(found.p_values)

    def work(self) -> bool:
        """Take a block, if one is full. False where there was none."""
        if self.waiting < BLOCK:
            return False
        size = BLOCK if self.waiting < _LARGE else _LARGE
        parts = list(self._taken(size))
        p_values = torch.cat([part.p_values for part in parts])
        bins = self._p_series.bins(torch.cat([part.ranks for part in parts]), self.items)
        if self._columns is not None:
            rows = torch.cat([part.items for part in parts if part.items is not None])
            bins = torch.cat([bins, self._columns.bins(rows, self.items)], dim=1)
        least = self.martingales.update(counted(bins)).tolist()
        self.items += size
        # p-values are ranks over n + 1: no rounding may put one beyond the level that it equals.
        self.below[:-1] += (p_values[:, None] <= self._levels + 1e-9).sum(dim=0)
        self.below[-1] += size
        self.sum += float(p_values.sum())
        self.low_at = [self._latest if new else old for new, old in zip(least, self.low_at, strict=True)]
        self._latest = time.time()
        return True

    def kept(self) -> KeptDrift:
        """What a file keeps of it. Items that wait for a block to be full are left out."""
        return KeptDrift.of(self.martingales, self.began, self.items, self.below.tolist(), self.low_at, self.sum)

    def log10_evidence(self) -> float:
        """Of all series together: a third of the chance of a false alarm for the verdict, the tests and the columns."""
        values = self.martingales.log_value()
        sorts = [each.sort for each in self.series]
        each = [
            bonferroni(values[[place for place, sort in enumerate(sorts) if sort == one]]) for one in sorted(set(sorts))
        ]
        return (max(each) - math.log(len(each))) / math.log(10)

    def told(self, key: str) -> KeyDrift:
        """All of it as plain data."""
        by_name: dict[tuple[str, str], list[int]] = {}
        for place, series in enumerate(self.series):
            by_name.setdefault((series.sort, series.name), []).append(place)
        return KeyDrift(
            key, self.log10_evidence(), self.items, _moment(self.began), tuple(map(self._told, by_name.values()))
        )

    def evidence_by_series(self) -> Iterator[tuple[Series, float]]:
        """log10 of the martingale of each verdict, test and column; members of a calibration count as one."""
        values = self.martingales.log_value()
        by_name: dict[tuple[str, str], list[int]] = {}
        for place, series in enumerate(self.series):
            by_name.setdefault((series.sort, series.name), []).append(place)
        for places in by_name.values():
            yield self.series[places[0]], bonferroni(values[places]) / math.log(10)

    def _told(self, places: list[int]) -> SeriesDrift:
        """One verdict, test or column, as the member with the most evidence sees it."""
        martingales = self.martingales
        values = martingales.log_value()[places]
        place = places[int(values.argmax())]
        series, since = self.series[place], martingales.since()[place]
        count = float(since.sum())
        edges: tuple[float, ...] = ()
        if self._columns is not None and series.sort == "column":
            edges = tuple(self._columns.edges[place - len(self._p_series.series)].tolist())
        return SeriesDrift(
            series.sort,
            series.name,
            bonferroni(values) / math.log(10),
            bonferroni(martingales.peak[places]) / math.log(10),
            int(martingales.counts[place].sum()),
            _moment(self.low_at[place]) if self.items else None,
            int(count),
            tuple((since / count).tolist()) if count else (),
            tuple(martingales.expected()[place].tolist()),
            edges,
        )

    def _taken(self, size: int) -> Iterator[Scored]:
        self.waiting -= size
        while size:
            first = self._waiting.popleft()
            if len(first.p_values) > size:
                self._waiting.appendleft(first.rows(size, None))
                first = first.rows(0, size)
            size -= len(first.p_values)
            yield first


class DriftWatch:
    """All watches of one device. Belongs to its loop. ``file``, where given, keeps them over restarts.

    With ``watching`` false it takes nothing: of a model of vectors, to watch costs half of what a score does.
    """

    def __init__(self, file: DriftFile | None = None, *, watching: bool = True) -> None:
        self._file, self._watching = file, watching
        self._watches: dict[str, dict[str, Watch]] = {}
        self._series: dict[str, tuple[PValueSeries, ColumnSeries | None]] = {}

    def saw(self, model: LoadedModel, jobs: Sequence[Job], columns: Columns) -> None:
        """Scores that have been answered, of jobs whose rows follow one another in ``columns``."""
        if not self._watching or "ranks" not in columns.tensors:
            return
        start = 0
        watches = self._of(model)
        table = self._series[model.reference][1] is not None
        for job in jobs:
            stop = start + len(job)
            # Requests of nobody warm a model up; those whose clients have left are not answered.
            if job.owner.peer is not None and not job.over:
                rows = columns["points"][start:stop] if table else None
                found = Scored(columns["p_value"][start:stop], columns["ranks"][start:stop], rows)
                watches[ALL].saw(found)
                mine = self._of_key(model, watches, job.tenant)
                if mine is not None:
                    mine.saw(found._replace(items=None))
            start = stop

    @property
    def waits(self) -> bool:
        """Whether a block of items waits to be taken."""
        return any(watch.waiting >= BLOCK for watches in self._watches.values() for watch in watches.values())

    def work(self, idle: bool) -> None:
        """Take one block of the watch for which most items wait, and write the file when it is time.

        While the device is not idle, only a large block is worth its time, about a millisecond.
        """
        every = [watch for watches in self._watches.values() for watch in watches.values()]
        most = max(every, key=lambda watch: watch.waiting, default=None)
        if most is not None and (idle or most.waiting >= _LARGE):
            most.work()
        if self._file is not None and self._file.due():
            self.save()

    def save(self) -> None:
        """Write the file, where there is one."""
        if self._file is not None:
            self._file.write(
                {
                    reference: {key: watch.kept() for key, watch in watches.items() if watch.items}
                    for reference, watches in self._watches.items()
                }
            )

    def told(self, model: LoadedModel) -> ModelDrift:
        """What has been seen of a model."""
        watches = self._of(model) if model.calibration is not None else {}
        keys = tuple(watch.told(key) for key, watch in watches.items() if watch.items)
        columns = model.calibration is not None and self._series[model.reference][1] is not None
        return ModelDrift(model.reference, keys, LEVELS, columns)

    def each(self, models: Sequence[LoadedModel]) -> Iterator[tuple[str, str, Watch]]:
        """Reference, key and watch of the models that have been scored."""
        for model in models:
            if model.calibration is not None:
                for key, watch in self._of(model).items():
                    if watch.items:
                        yield model.reference, key, watch

    @torch.inference_mode(False)
    def _of(self, model: LoadedModel) -> dict[str, Watch]:
        found = self._watches.get(model.reference)
        if found is None:
            assert model.calibration is not None
            if len(self._watches) >= _MOST_MODELS:
                oldest = next(iter(self._watches))
                del self._watches[oldest], self._series[oldest]
            series = PValueSeries(model.calibration), ColumnSeries.of(model)
            kept = {} if self._file is None else self._file.kept(model)
            found = {ALL: _watch(*series, kept.pop(ALL, None))}
            found |= {key: _watch(series[0], None, each) for key, each in kept.items()}
            self._watches[model.reference], self._series[model.reference] = found, series
        return found

    @torch.inference_mode(False)
    def _of_key(self, model: LoadedModel, watches: dict[str, Watch], tenant: str) -> Watch | None:
        if not tenant or is_address(tenant):
            return None
        found = watches.get(tenant)
        if found is None and len(watches) <= MOST_KEYS:
            found = watches[tenant] = Watch(self._series[model.reference][0], None, None)
        return found


def _watch(p_series: PValueSeries, columns: ColumnSeries | None, kept: KeptDrift | None) -> Watch:
    try:
        return Watch(p_series, columns, kept)
    except ValueError:  # of a version of Sluice with other series or other bets
        return Watch(p_series, columns, None)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
