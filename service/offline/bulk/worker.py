"""Computes parts of a bulk run on one device, one after another: reads ahead while the device computes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.cpus import usable_cpus
from service.device import hardware
from service.media.items import ItemSpec
from service.offline.bulk import picture_readers
from service.offline.bulk.decoding import Chunk, Decoder
from service.offline.bulk.folder import OutputFolder
from service.offline.bulk.inputs import Album, Input, inputs_of
from service.offline.bulk.job import InputNote, Job, Part
from service.offline.bulk.picture_readers import PictureReaders, readers_beside
from service.offline.bulk.work import WORKS, Work
from service.offline.one_model import serving_one
from service.offline.unusable import UnusableFile
from service.opened_store import store_of
from service.protocol.model_info import ModelInfo
from service.settings import Settings, location

_CHUNKS = 3
"""Chunks that the device holds or that wait for their part to be full: one computes, one waits, one is being read."""
_PARTS = 2
"""Parts in work: one is written while the next is computed."""

Tell = Callable[[int, Part | None], object]
"""Hears of each chunk how many items were done, and of each part that it was written."""


class Worker:
    """``run`` computes parts. Belongs to one event loop."""

    def __init__(self, folder: OutputFolder, job: Job, inputs: list[Input], work: Work) -> None:
        self._folder, self._job, self._inputs, self._work = folder, job, inputs, work
        self._offsets = [0, *accumulate(note.count for note in job.inputs)]

    async def run(self, parts: AsyncIterator[Part], tell: Tell) -> None:
        """Compute and write parts, which come in ascending order. Raises UnusableFile or Problem."""
        places, unfinished = asyncio.Semaphore(_CHUNKS), asyncio.Semaphore(_PARTS)
        try:
            async with asyncio.TaskGroup() as group:
                async for part in parts:
                    await unfinished.acquire()
                    chunks = [task async for task in self._started(part, group, places, tell)]
                    group.create_task(self._finish(part, chunks, unfinished, tell))
        except ExceptionGroup as errors:
            raise _first(errors) from errors

    async def _started(
        self, part: Part, group: asyncio.TaskGroup, places: asyncio.Semaphore, tell: Tell
    ) -> AsyncIterator[asyncio.Task[Any]]:
        """Tasks that compute the chunks of a part, made as there is room for them."""
        chunks, first = self._chunks(part), self._offsets[part.input] + part.first
        while True:
            await places.acquire()
            chunk = await asyncio.to_thread(next, chunks, None)
            if chunk is None:
                places.release()
                return
            yield group.create_task(self._compute(chunk, first, places, tell))
            first += len(chunk)

    def _chunks(self, part: Part) -> Iterator[Chunk]:
        rows = self._work.chunk_rows
        if self._inputs:
            return self._inputs[part.input].chunks(part.first, part.stop, rows)
        return _places(part, rows)

    async def _compute(self, chunk: Chunk, first: int, places: asyncio.Semaphore, tell: Tell) -> Any:
        table = await self._work.rows(chunk, first)
        places.release()
        tell(len(chunk), None)
        return table

    async def _finish(
        self, part: Part, chunks: list[asyncio.Task[Any]], unfinished: asyncio.Semaphore, tell: Tell
    ) -> None:
        tables = [await chunk for chunk in chunks]
        table = pa.concat_tables(tables).combine_chunks() if tables else self._work.schema.empty_table()
        await asyncio.to_thread(self._folder.publish, part.file, table)
        unfinished.release()
        tell(0, part)


@asynccontextmanager
async def worker_of(
    folder: OutputFolder,
    job: Job,
    settings: Settings,
    told: Callable[[str], object],
    inputs: list[Input] | None = None,
) -> AsyncIterator[Worker]:
    """A worker on the device of the settings. ``told`` hears notes for people. ``inputs``, where given, are open.

    Raises UnusableFile or StoreError.
    """
    store, device = store_of(settings, location(job.store)), hardware.device_of(settings)
    if (device.type == "cpu") != (job.device == "cpu"):
        raise UnusableFile(f"{folder}: the run is for {job.device}; this process computes on {device.type}")
    name, version = store.resolve(job.model)
    model = store.load(name, version, device, bfloat16=hardware.bfloat16_allowed(settings, device))
    async with serving_one(model, settings) as one:
        rows = settings.max_batch_rows or hardware.batch_rows(device)
        work = WORKS[job.command](job, one, rows)
        if inputs is None:
            inputs = [] if job.command == "sample" else open_inputs(job, one.info, told, job.inputs)
            if inputs and [each.note for each in inputs] != job.inputs:
                raise UnusableFile(f"{folder}: the files to read have changed since the run began")
        with _reading(inputs, settings):
            yield Worker(folder, job, inputs, work)


@contextmanager
def _reading(inputs: list[Input], settings: Settings) -> Iterator[None]:
    """Pictures are read by processes of their own, where they are many and there are CPUs for it."""
    albums = [each for each in inputs if isinstance(each, Album)]
    processes = readers_beside(min(settings.threads or usable_cpus(), usable_cpus()))
    if not processes or sum(album.note.count for album in albums) < picture_readers.WORTHWHILE:
        yield
        return
    with ExitStack() as stack:
        with suppress(OSError):  # no room for processes: this one reads
            readers = stack.enter_context(PictureReaders(albums[0].decoder, processes))
            for album in albums:
                album.decoded = readers.decoded
        yield


def open_inputs(
    job: Job, info: ModelInfo, told: Callable[[str], object], known: Sequence[InputNote] = ()
) -> list[Input]:
    """The inputs of a job for a model. Items of those that are ``known`` are not counted again. Raises UnusableFile."""
    if info.pictures is not None and job.command == "score":
        raise UnusableFile(f"{info.reference}: scores pictures of any size, into a file; leave the folder of parts out")
    mask = None if job.mask is None else Path(job.mask)
    decoder = Decoder(ItemSpec.of(info), job.fit, completing=job.command == "inpaint", mask=mask)
    return inputs_of([location(file) for file in job.files], decoder, told, known)


def _places(part: Part, rows: int) -> Iterator[Chunk]:
    """Of a run without input: the numbers of its items."""
    for start in range(part.first, part.stop, rows):
        index = np.arange(start, min(start + rows, part.stop))
        yield Chunk("", index, np.empty((len(index), 0)), {})


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    """One of the errors of a group, which may hold groups: they follow from the first one."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, Exception)
    return found
