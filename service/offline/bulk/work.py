"""What a bulk run computes of some items: rows of its output as a pyarrow table."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from service.media.documents import BEYOND, alpha_reachable, bits_per_dim, unreachable_reason
from service.offline.bulk import columns
from service.offline.bulk.decoding import Chunk
from service.offline.bulk.job import Job
from service.offline.bulk.picture_decoding import Faults
from service.offline.one_model import OneModel, far_deadline
from service.protocol.client import Found
from service.protocol.errors import WrongValue
from service.protocol.messages import Completed, Options, Submit

_TARGET_BYTES = 16 * 2**20
"""Bytes of items of one chunk, about: three chunks are in memory at a time."""
_LEAST_BYTES = 256 * 2**10
"""The least of a chunk of small items. Every chunk costs switches of threads, during which the device waits."""
_BATCHES = 8
"""The least batches of the device in a chunk, so that little time is lost between two of them."""


class Work(ABC):
    """One command on one model, whose device it asks. ``schema`` is that of its rows."""

    command: ClassVar[str]

    def __init__(self, job: Job, one: OneModel, batch_rows: int) -> None:
        self.job, self.one, self.info = job, one, one.info
        self.schema = pa.schema(self._fields())
        entry = 1 if self.info.is_image else 4
        item = entry * self.info.dimensions
        most = max(_TARGET_BYTES // item // batch_rows, 1)
        self.chunk_rows = batch_rows * min(max(_BATCHES, _LEAST_BYTES // item // batch_rows), most)

    @abstractmethod
    def _fields(self) -> list[Any]:
        """The fields of a row."""

    @abstractmethod
    async def rows(self, chunk: Chunk, first: int) -> Any:
        """The rows of some items as a table, in order; the first of them is item ``first`` of the whole run."""

    def _table(self, arrays: list[Any]) -> Any:
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _submit(self, kind: Any, **fields: Any) -> Submit:
        number = next(self.one.device.numbers)
        return Submit(id=number, model=self.info.reference, kind=kind, deadline=far_deadline(), **fields)


class Scoring(Work):
    """The columns that `sluice score` writes, but those of options that need all items at once."""

    command = "score"

    def _fields(self) -> list[Any]:
        tests = [f"p_value_{test.name}" for test in self.info.tests]
        numbers = ["log_likelihood", "bits_per_dim", "p_value"]
        return [
            *columns.PLACE,
            *(pa.field(name, pa.float64()) for name in numbers),
            pa.field("anomalous", pa.bool_()),
            *(pa.field(name, pa.float64()) for name in tests),
            pa.field("reason", pa.string()),
        ]

    async def rows(self, chunk: Chunk, first: int) -> Any:  # noqa: ARG002 - the noise of an item follows from itself
        count, faults = len(chunk), dict(chunk.faults)
        good = np.setdiff1d(np.arange(count), np.array(list(faults), dtype=np.int64))
        arrays: dict[str, Any] = {}
        if len(good):
            items = np.ascontiguousarray(chunk.items if len(good) == count else chunk.items[good])
            asked = self._submit("score", arrays={"items": items}, seed=self.job.seed)
            found: Found = await self.one.device.answer_to(asked)
            arrays = {name: columns.scattered(array, good, count) for name, array in found.arrays.items()}
        absent = np.ones(count, dtype=bool)
        absent[good] = False
        return self._table([*columns.place_columns(chunk), *self._figures(arrays, absent, faults)])

    def _figures(self, arrays: dict[str, Any], absent: Any, faults: Faults) -> list[Any]:
        count, dimensions = len(absent), self.info.bits_per_dim_of
        nats = arrays.get("log_likelihood", np.zeros(count))
        beyond = ~np.isfinite(nats) | absent
        faults.update((int(row), BEYOND) for row in np.flatnonzero(beyond & ~absent))
        no_bits = beyond if dimensions else np.ones(count, dtype=bool)
        p_values = arrays.get("p_value", np.zeros(count))
        unjudged = absent if "p_value" in arrays else np.ones(count, dtype=bool)
        no_verdict = unjudged
        if alpha_reachable(self.info, self.job.alpha) is False:
            no_verdict = np.ones(count, dtype=bool)
            why = unreachable_reason(self.info, self.job.alpha)
            faults = dict.fromkeys(range(count), why) | faults
        tests = arrays.get("test_p_values", np.zeros((count, len(self.info.tests))))
        return [
            pa.array(nats, pa.float64(), mask=beyond),
            pa.array(bits_per_dim(nats, dimensions or 1), pa.float64(), mask=no_bits),
            pa.array(p_values, pa.float64(), mask=unjudged),
            pa.array(p_values <= self.job.alpha, pa.bool_(), mask=no_verdict),
            *(pa.array(np.ascontiguousarray(each), pa.float64(), mask=unjudged) for each in tests.T),
            columns.reasons(faults, count),
        ]


class Sampling(Work):
    """New items: row k is draw k of the seed, as `sluice sample` and the service give it."""

    command = "sample"

    def _fields(self) -> list[Any]:
        return [pa.field("item", pa.int64()), *columns.item_fields(self.info)]

    async def rows(self, chunk: Chunk, first: int) -> Any:
        options = Options(temperature=self.job.temperature)
        asked = self._submit("sample", n=len(chunk), first=first, seed=self.job.seed, options=options)
        found: Found = await self.one.device.answer_to(asked)
        return self._table(
            [pa.array(chunk.places, pa.int64()), *columns.item_columns(self.info, found.arrays["items"])]
        )


class Inpainting(Work):
    """Completions: those of item k are what an inpainting of it alone gives at the seed of the job plus k."""

    command = "inpaint"

    def __init__(self, job: Job, one: OneModel, batch_rows: int) -> None:
        super().__init__(job, one, batch_rows)
        self.chunk_rows = max(batch_rows // job.n, 1)

    def _fields(self) -> list[Any]:
        return [
            *columns.PLACE,
            pa.field("draw", pa.int64()),
            *columns.item_fields(self.info),
            pa.field("log_likelihood", pa.float64()),
            pa.field("log_likelihood_before", pa.float64()),
            pa.field("steps", pa.int64()),
            pa.field("converged", pa.bool_()),
            pa.field("reason", pa.string()),
        ]

    async def rows(self, chunk: Chunk, first: int) -> Any:
        found = await asyncio.gather(*(self._completed(chunk, row, first + row) for row in range(len(chunk))))
        n, count = self.job.n, len(chunk) * self.job.n
        faults = {row * n + draw: each for row, each in enumerate(found) if isinstance(each, str) for draw in range(n)}
        good = np.setdiff1d(np.arange(count), np.array(list(faults), dtype=np.int64))
        absent = np.ones(count, dtype=bool)
        absent[good] = False
        arrays = [each.arrays for each in found if not isinstance(each, str)]

        def column(name: str, shape: tuple[int, ...] = ()) -> Any:
            values = np.concatenate([each[name] for each in arrays]) if arrays else np.zeros((0, *shape))
            return columns.scattered(values, good, count)

        items = column("items", tuple(self.info.item_shape))
        return self._table(
            [
                *columns.place_columns(chunk, n),
                pa.array(column("draw"), pa.int64(), mask=absent),
                *columns.item_columns(self.info, items.astype(self.info.item_dtype, copy=False), absent),
                pa.array(column("after").astype(np.float64), pa.float64(), mask=absent),
                pa.array(column("before").astype(np.float64), pa.float64(), mask=absent),
                pa.array(column("steps"), pa.int64(), mask=absent),
                pa.array(column("converged").astype(bool), pa.bool_(), mask=absent),
                columns.reasons(faults, count),
            ]
        )

    async def _completed(self, chunk: Chunk, row: int, place: int) -> Completed | str:
        if row in chunk.faults:
            return chunk.faults[row]
        assert chunk.hidden is not None
        job = self.job
        arrays = {
            "items": np.ascontiguousarray(chunk.items[row : row + 1]),
            "hidden": np.ascontiguousarray(chunk.hidden[row : row + 1]),
        }
        options = Options(job.temperature, job.method, job.steps, job.step_size)
        asked = self._submit("inpaint", arrays=arrays, n=job.n, seed=job.seed + place, options=options)
        try:
            completed: Completed = await self.one.device.answer_to(asked)
        except WrongValue as problem:
            return problem.detail
        return completed


WORKS: dict[str, type[Work]] = {work.command: work for work in (Scoring, Sampling, Inpainting)}
