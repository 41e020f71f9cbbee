"""The Ray engine: parts go through Ray Data to actors, one for each device of a cluster, whose workers compute them.

The folder of the run, the input and the store must be seen by every node under the same path, or lie at URLs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from service.offline.bulk.folder import OutputFolder, folder_at
from service.offline.bulk.job import Job, Part
from service.offline.bulk.worker import Tell, worker_of
from service.offline.printable import printable
from service.offline.unusable import UnusableFile, missing_extra
from service.processes import importing
from service.settings import Settings

_PARTS = 4
"""Parts that an actor gets at once: it writes one while it computes the next."""


@contextmanager
def cluster() -> Iterator[Any]:
    """Ray, connected to the cluster of RAY_ADDRESS, or to one that is started on this machine for the while."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise missing_extra("for --engine ray", "ray", "ray") from error
    paths = {"PYTHONPATH": importing(os.environ)["PYTHONPATH"]}
    # Without an address Ray would join whatever cluster was started last on this machine.
    where = os.environ.get("RAY_ADDRESS") or "local"
    ray.init(
        where,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.WARNING,
        runtime_env={"env_vars": paths},
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # the command has its own progress
    try:
        yield ray
    finally:
        ray.shutdown()


def kind_of_device(ray: Any, settings: Settings) -> str:
    """What actors compute on: `cpu`, or `cuda` where the cluster has a GPU and the settings allow it."""
    gpus = ray.cluster_resources().get("GPU", 0)
    if settings.device == "cpu" or (settings.device == "auto" and not gpus):
        return "cpu"
    if not gpus:
        raise UnusableFile(f"--device {settings.device}: Ray's cluster has no GPU")
    return "cuda"


def run_on_ray(
    ray: Any,
    folder: OutputFolder,
    job: Job,
    parts: Sequence[Part],
    settings: Settings,
    workers: int | None,
    tell: Tell,
    note: Callable[[str], object],
) -> None:
    """Compute the parts in actors. Raises UnusableFile with what one of them says."""
    cpus, gpus = (max(int(ray.cluster_resources().get(resource, 1)), 1) for resource in ("CPU", "GPU"))
    actors = workers or (cpus if job.device == "cpu" else gpus)
    actors = min(actors, -(-len(parts) // _PARTS)) or 1
    threads = 1 if job.device == "cpu" else settings.threads or max(cpus // gpus, 1)
    own = settings.model_copy(update={"device": job.device, "devices": None, "threads": threads})
    by_number = {part.number: part for part in parts}
    # Each block is a task of its own, so that whichever actor is free gets the next one.
    numbers = ray.data.from_items(
        [{"part": part.number} for part in parts], override_num_blocks=-(-len(parts) // _PARTS)
    )
    done = numbers.map_batches(
        _Actor,
        fn_constructor_args=(str(folder), job, own),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1 if job.device == "cpu" else 0,
        num_gpus=0 if job.device == "cpu" else 1,
    )
    for row in done.iter_rows():
        if row["failed"]:
            raise UnusableFile(row["failed"])
        for text in row["notes"].splitlines():
            note(text)
        part = by_number[row["part"]]
        tell(len(part), part)


class _Actor:
    """A worker in a process of Ray's: the event loop that it belongs to runs in a thread of its own."""

    def __init__(self, folder: str, job: Job, settings: Settings) -> None:
        self._parts = job.parts
        self._notes: list[str] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="sluice-worker", daemon=True).start()
        self._failed: str | None = None
        self._worker: Any = None
        self._context = AsyncExitStack()
        self._failed = self._ran(self._enter(folder, job, settings))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Compute and write the parts of these numbers; what went wrong, and notes for people."""
        numbers = [int(number) for number in batch["part"]]
        failed = self._failed or self._ran(self._worker.run(self._given(numbers), lambda *_: None))
        notes, self._notes = "\n".join(self._notes), []
        count = len(numbers)
        return {"part": numbers, "failed": [failed or ""] * count, "notes": [notes] * count}

    async def _given(self, numbers: list[int]) -> AsyncIterator[Part]:
        for number in sorted(numbers):
            yield self._parts[number]

    async def _enter(self, folder: str, job: Job, settings: Settings) -> None:
        self._worker = await self._context.enter_async_context(
            worker_of(folder_at(folder), job, settings, self._notes.append)
        )

    def _ran(self, work: Any) -> str | None:
        """Run a coroutine in the loop; what it failed with, for people."""
        from model_store import StoreError
        from service.device_names import NoSuchDevice
        from service.protocol.errors import Problem

        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (UnusableFile, StoreError, NoSuchDevice) as error:
            return printable(str(error))
        except Problem as problem:
            return problem.detail
        return None
