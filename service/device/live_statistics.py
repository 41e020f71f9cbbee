"""Keeps statistics of live traffic for sluice-calibrate, of the models that a setting names: no items, no keys.

What is kept is a random sample of each day's items, as the measures that a verdict is made of; the files are described
in ``model_store.live_statistics``, which also bounds them.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model_store import LoadedModel
from model_store.files import DamagedFile, names_in
from model_store.live_statistics import (
    DAY_ITEMS,
    DAYS,
    LiveDay,
    dates_of,
    day_to_bytes,
    file_name,
    folder_of,
    read_day,
)
from model_store.manifest import CALIBRATION
from service.device.columns import Columns
from service.device.jobs import Job

logger = logging.getLogger("sluice")

_EVERY = 60.0
"""Seconds between two writes. After a kill, items of so long are missing from the sample."""


class LiveStatistics:
    """What is kept of the live traffic of the models called ``names``. Belongs to the device's loop.

    ``directory`` is shared with other devices, and ``device`` tells them apart.
    """

    def __init__(self, directory: Path, device: str, names: Iterable[str]) -> None:
        self._directory, self._names = directory, frozenset(names)
        self._device = re.sub("[^A-Za-z0-9]", "-", device) or "device"
        self._days: dict[str, _Day] = {}
        self._passed_over: set[str] = set()
        # Seeded by the system: nobody can tell which items will be in a sample.
        self._generator = np.random.default_rng()
        self._next = time.monotonic() + _EVERY
        self._complained = False
        if self._names:
            logger.info("statistics of live traffic are kept of %s in %s", ", ".join(sorted(self._names)), directory)

    @torch.inference_mode(False)
    def saw(self, model: LoadedModel, jobs: Sequence[Job], columns: Columns) -> None:
        """Scores that have been answered, of jobs whose rows follow one another in ``columns``."""
        if model.name not in self._names:
            return
        if "measures" not in columns.tensors:
            self._pass_over(model)
            return
        # Requests of nobody warm a model up; those whose clients have left are not answered.
        counts = [job.owner.peer is not None and not job.over for job in jobs]
        chosen = np.repeat(counts, [len(job) for job in jobs])
        measures = columns["measures"].numpy()[chosen]
        if len(measures):
            self._day_of(model).add(measures, self._generator)

    def work(self) -> None:
        """Write the files when it is time."""
        if time.monotonic() >= self._next:
            self.save()

    def save(self) -> None:
        """Write the files of the days that have changed. A full disk is told once."""
        self._next = time.monotonic() + _EVERY
        for day in self._days.values():
            if day.changed:
                self._write(day)

    def _day_of(self, model: LoadedModel) -> _Day:
        date = datetime.now(UTC).date().isoformat()
        day = self._days.get(model.reference)
        if day is None or day.date != date:
            if day is not None and day.changed:
                self._write(day)
            listed = model.manifest.files.get(CALIBRATION)
            folder = folder_of(self._directory, model.name, model.version)
            day = _Day(folder, date, file_name(date, self._device), "" if listed is None else listed.sha256)
            self._days[model.reference] = day
            self._remove_old(model.name)
        return day

    def _write(self, day: _Day) -> None:
        draft = day.folder / f".{day.file}.new"
        try:
            day.folder.mkdir(parents=True, exist_ok=True)
            # Not synced, as the file of drift is not: requests would wait. A file that a loss of power leaves empty is
            # found to be damaged, and the day begins anew.
            draft.write_bytes(day_to_bytes(day.kept()))
            draft.replace(day.folder / day.file)
            day.changed, self._complained = False, False
        except OSError as error:
            if not self._complained:
                logger.error(
                    "statistics of live traffic cannot be written to %s: %s", day.folder, error.strerror or error
                )
            self._complained = True

    def _remove_old(self, name: str) -> None:
        """Remove this device's files of a model, whatever their version, that are too old or too many."""
        versions = self._directory / "live" / name
        oldest = (datetime.now(UTC).date() - timedelta(days=DAYS - 1)).isoformat()
        try:
            folders = [versions / version for version in names_in(versions)]
            files = sorted(
                ((date, folder / file) for folder in folders for date, file in dates_of(folder, self._device)),
                reverse=True,
            )
            # One less, since the file of today is still to be written.
            for place, (date, path) in enumerate(files):
                if date < oldest or place >= DAYS - 1:
                    path.unlink(missing_ok=True)
        except OSError as error:
            logger.error("old statistics in %s cannot be removed: %s", versions, error.strerror or error)

    def _pass_over(self, model: LoadedModel) -> None:
        if model.reference not in self._passed_over:
            self._passed_over.add(model.reference)
            why = "scores pictures of any size" if model.pictures is not None else "is not calibrated"
            logger.warning("no statistics of live traffic are kept of %s: it %s", model.reference, why)


class _Day:
    """One day's sample of one model, begun anew or continued from its file."""

    def __init__(self, folder: Path, date: str, file: str, calibration: str) -> None:
        self.folder, self.date, self.file = folder, date, file
        self.changed = False
        self._calibration = calibration
        self._seen = self._without = self._waiting = 0
        self._bound = 1.0
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        if (folder / file).exists():
            self._continue()

    def add(self, measures: np.ndarray, generator: np.random.Generator) -> None:
        """Items with measures (n, K, F) by each of K members."""
        n, several = measures.shape[:2]
        members: np.ndarray = generator.integers(several, size=len(measures))
        draws: np.ndarray = generator.random(len(measures))
        own = measures[np.arange(n), members]
        finite = np.isfinite(own).all(axis=1)
        self._seen, self._without, self.changed = self._seen + n, self._without + int((~finite).sum()), True
        chosen = finite & (draws < self._bound)
        if chosen.any():
            kept = torch.from_numpy(own[chosen]).float()
            self._parts.append((kept, torch.from_numpy(members[chosen]), torch.from_numpy(draws[chosen])))
            self._waiting += int(chosen.sum())
            if self._waiting >= DAY_ITEMS:
                self._join()

    def kept(self) -> LiveDay:
        """What a file keeps of it."""
        self._join()
        measures, members, draws = self._parts[0] if self._parts else (torch.zeros(0, 1), _NO_MEMBERS, _NO_DRAWS)
        return LiveDay(self._calibration, self._seen, self._without, measures, members, draws, DAY_ITEMS)

    def _join(self) -> None:
        """Keep the items with the smallest draws."""
        self._waiting = 0
        if not self._parts:
            return
        measures, members, draws = (torch.cat(parts) for parts in zip(*self._parts, strict=True))
        order = draws.argsort()[:DAY_ITEMS]
        self._parts = [(measures[order], members[order], draws[order])]
        if len(order) == DAY_ITEMS:
            self._bound = float(draws[order[-1]])

    def _continue(self) -> None:
        try:
            day = read_day(self.folder, self.file)
        except DamagedFile as error:
            logger.error("statistics of live traffic in %s cannot be read, and begin anew: %s", self.folder, error)
            return
        if day.calibration == self._calibration and day.most == DAY_ITEMS and len(day.draws):
            self._seen, self._without = day.seen, day.without_measures
            self._parts = [(day.measures, day.members, day.draws)]
            self._bound = day.bound


_NO_MEMBERS = torch.zeros(0, dtype=torch.int64)
_NO_DRAWS = torch.zeros(0, dtype=torch.float64)
