"""Processes that read and decode pictures beside the one that computes.

Of the threads of a process one at a time runs Python. A thread that decodes small pictures runs little else, and each
operation of the device, of which a tick has hundreds, would wait for it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType

import numpy as np

from service.offline.bulk.picture_decoding import Decoded, PictureDecoder
from service.offline.unusable import UnusableFile
from service.processes import PARENT, die_with_parent

WORTHWHILE = 5_000
"""Pictures from which processes are started: that takes about as long as decoding these."""
_MOST = 8


def readers_beside(cpus: int) -> int:
    """How many processes read for a device that may use so many CPUs."""
    return min(cpus // 2, _MOST)


class PictureReaders:
    """``count`` processes, each of which decodes a part of what is asked for. Enter it in a thread that stays."""

    def __init__(self, decoder: PictureDecoder, count: int) -> None:
        self._decoder, self._count = decoder, count

    def __enter__(self) -> PictureReaders:
        # A process that is forked would share locks with threads that hold them.
        self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _begin, (os.getpid(),))
        self._pool.submit(_nothing)  # they start, and import, while the model is loaded
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
    os.environ[PARENT] = str(parent)
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent ends this process


def _nothing() -> None:
    pass
