"""Processes that read and decode pictures beside the one that computes.

Python's lock lets one thread of a process run Python at a time. A thread that decodes small pictures does little else,
and each operation of the device, of which a tick has hundreds, would wait for it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import TracebackType

import numpy as np

from service.offline.bulk.picture_decoding import Decoded, PictureDecoder
from service.offline.unusable import UnusableFile
from service.processes import PARENT, die_with_parent

WORTHWHILE = 5_000
"""The least pictures of a job for which processes are started: that takes as long as decoding about so many."""
_MOST = 8
"""So that a machine with several devices and very many CPUs does not start hundreds."""


def readers_beside(cpus: int) -> int:
    """Processes that read for a device that may use ``cpus`` CPUs."""
    return min(cpus // 2, _MOST)


class PictureReaders:
    """``count`` processes, each of which decodes a part of what is asked for. Enter it in a thread that stays.

    Entering raises OSError where the system has no room for them.
    """

    def __init__(self, decoder: PictureDecoder, count: int) -> None:
        self._decoder, self._count = decoder, count

    def __enter__(self) -> PictureReaders:
        # A process that is forked would share locks with threads that hold them.
        self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _begin, (os.getpid(),))
        try:
            for _ in range(self._count):  # each starts one, here: on Linux they end with the thread that started them
                self._pool.submit(_nothing)
        except OSError:
            self._pool.shutdown(cancel_futures=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def decoded(self, paths: Sequence[Path]) -> Decoded:
        """One picture in each file, in order. Any thread may call it. Raises UnusableFile where a process dies."""
        size = -(-len(paths) // self._count) or 1
        starts = range(0, len(paths), size)
        try:
            asked = [self._pool.submit(self._decoder.files, paths[start : start + size]) for start in starts]
            found = [each.result() for each in asked]
        except BrokenProcessPool as error:
            raise UnusableFile(
                "a process that reads pictures died; the same command goes on where it stopped"
            ) from error
        faults = {
            start + row: why for start, each in zip(starts, found, strict=True) for row, why in each.faults.items()
        }
        masks = [each.hidden for each in found if each.hidden is not None]
        return Decoded(np.concatenate([each.items for each in found]), np.concatenate(masks) if masks else None, faults)


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent ends this process
    os.environ[PARENT] = str(parent)
    die_with_parent()
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    """Elsewhere than on Linux nothing else ends a process that waits for work when its parent was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _nothing() -> None:
    pass
