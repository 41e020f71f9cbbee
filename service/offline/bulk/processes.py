"""The local engine: one worker in this process, or a worker process for each of several devices."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct

from model_store import StoreError
from service.cpus import share_of_cpus
from service.device_names import NoSuchDevice
from service.devices import Device
from service.offline.bulk.folder import OutputFolder, folder_at
from service.offline.bulk.inputs import Input
from service.offline.bulk.job import Job, Part, read_job
from service.offline.bulk.worker import Tell, worker_of
from service.offline.printable import printable
from service.offline.unusable import UnusableFile
from service.processes import PARENT, importing
from service.protocol.errors import Problem
from service.settings import Settings

_AHEAD = 3
"""Parts that a worker process holds: it reads one, computes one and writes one."""
_LONGEST = 2**20
"""Bytes of a line that a worker process tells."""


class _Told(Struct, omit_defaults=True):
    """A line from a worker process."""

    items: int = 0
    part: int | None = None
    note: str | None = None
    failed: str | None = None


async def run_here(
    folder: OutputFolder,
    job: Job,
    inputs: list[Input],
    parts: Sequence[Part],
    settings: Settings,
    tell: Tell,
    note: Callable[[str], object],
) -> None:
    """Compute the parts of a job whose inputs are open, in this process, on the device of the settings."""

    async def given() -> AsyncIterator[Part]:
        for part in parts:
            yield part

    async with worker_of(folder, job, settings, note, inputs) as worker:
        await worker.run(given(), tell)


async def run_in_processes(
    folder: OutputFolder,
    parts: Sequence[Part],
    devices: Sequence[Device],
    settings: Settings,
    tell: Tell,
    note: Callable[[str], object],
) -> None:
    """Compute the parts in a process for each device. Whichever is free gets the next part.

    The processes read the job in the folder. Raises UnusableFile with what one of them says, or where one died.
    """
    share = share_of_cpus(len(devices))
    shared = {"SLUICE_THREADS": str(min(settings.threads or share, share)), PARENT: str(os.getpid())}
    left = list(reversed(parts))
    running: list[asyncio.subprocess.Process] = []
    try:
        async with asyncio.TaskGroup() as group:
            for device in devices:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "service.offline.bulk", str(folder)),
                    env=importing({**os.environ, **device.environment(), **shared}),
                    stdin=PIPE,
                    stdout=PIPE,
                    limit=_LONGEST,
                )
                running.append(process)
                group.create_task(_attend(process, device.name, left, tell, note))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _attend(
    process: asyncio.subprocess.Process, device: str, left: list[Part], tell: Tell, note: Callable[[str], object]
) -> None:
    """Give a worker process parts until none is left, and pass on what it tells."""
    assert process.stdin is not None
    assert process.stdout is not None
    held: dict[int, Part] = {}

    def give() -> None:
        assert process.stdin is not None
        while left and len(held) < _AHEAD:
            part = left.pop()
            held[part.number] = part
            process.stdin.write(f"{part.number}\n".encode())
        if not left:
            process.stdin.close()

    give()
    async for line in process.stdout:
        told = msgspec.json.decode(line, type=_Told)
        if told.failed is not None:
            raise UnusableFile(told.failed)
        if told.note is not None:
            note(told.note)
        part = None if told.part is None else held.pop(told.part)
        tell(told.items, part)
        if part is not None and not process.stdin.is_closing():
            give()
    if await process.wait() or held:
        raise UnusableFile(f"the worker on {device} died; the same command goes on where it stopped")


def serve() -> None:
    """The main of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent ends this process
    try:
        asyncio.run(_serve(folder_at(sys.argv[1])))
    except (UnusableFile, StoreError, NoSuchDevice) as error:
        _say(_Told(failed=printable(str(error))))
    except Problem as problem:
        _say(_Told(failed=problem.detail))
    else:
        return
    raise SystemExit(1)


async def _serve(folder: OutputFolder) -> None:
    job = read_job(folder)
    if job is None:
        raise UnusableFile(f"{folder}: holds no bulk run")
    parts = job.parts

    async def asked() -> AsyncIterator[Part]:
        while line := await asyncio.to_thread(sys.stdin.readline):
            yield parts[int(line)]

    def tell(items: int, part: Part | None) -> None:
        _say(_Told(items, None if part is None else part.number))

    async with worker_of(folder, job, Settings(), lambda note: _say(_Told(note=note))) as worker:
        await worker.run(asked(), tell)


def _say(told: _Told) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()
