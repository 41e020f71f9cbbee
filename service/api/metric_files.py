"""Files in which api processes share their counts, which a full disk cannot turn into the death of a process.

prometheus_client maps files that are mostly holes. Where the disk is full, writing into a hole ends the process with
SIGBUS. Here the room is allocated first; counts for which there is none are kept in this process alone.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Any

from prometheus_client import values
from prometheus_client.mmap_dict import _INITIAL_MMAP_SIZE, MmapedDict

logger = logging.getLogger("sluice")

_LONGEST_ENTRY = 4096
"""Bytes of a name with its labels and its help, and more."""


class AllocatedFile(MmapedDict):
    """A file of counts whose blocks are there before they are written."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._beside: dict[str, tuple[float, float]] = {}
        if not read_mode:
            filename = _allocated(filename)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def read_value(self, key: str) -> Any:
        if key not in self._beside:
            try:
                if key not in self._positions and self._used + _LONGEST_ENTRY > self._capacity:
                    _allocate(self._f.fileno(), 2 * self._capacity)
                return super().read_value(key)  # type: ignore[no-untyped-call]
            except OSError as error:
                _warn(error)
                self._beside[key] = (0.0, 0.0)
        return self._beside[key]

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        self.read_value(key)
        if key in self._beside:
            self._beside[key] = (value, timestamp)
        else:
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]


def use_allocated_files() -> None:
    """Let the metrics of this process lie in such files. Call it before any metric is made."""
    values.MmapedDict = AllocatedFile  # type: ignore[attr-defined]


def _allocated(filename: str) -> str:
    """The name of a file with room for the first counts: in memory, and shared with nobody, where the disk is full."""
    try:
        with open(filename, "ab") as file:
            _allocate(file.fileno(), _INITIAL_MMAP_SIZE)
    except OSError as error:
        if not hasattr(os, "memfd_create"):
            raise
        _warn(error)
        with suppress(OSError):  # an empty file is none that the others could read
            os.unlink(filename)
        return f"/proc/self/fd/{os.memfd_create('metrics')}"
    return filename


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)


def _warn(error: OSError) -> None:
    logger.error("the temporary directory has no room for metrics (%s): some counts are lost", error.strerror)
