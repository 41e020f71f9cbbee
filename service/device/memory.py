"""How much memory the service computes in, and how much of it is taken."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

from service.control_group import ControlGroup

_STATM = Path("/proc/self/statm")


def used_bytes(device: torch.device) -> int:
    """Bytes of a GPU that hold tensors; on the CPU, those of the process that are in memory.

    What torch keeps cached on a GPU counts as free, since it is given back before anything runs out.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def total_bytes(device: torch.device) -> int:
    """Bytes of the GPU; on the CPU, those of the machine or of the container's limit, whichever is less."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machine, ControlGroup().memory() or machine)


def settle() -> None:
    """Let go of what nobody needs, and have Python's collector pass over whatever is left from now on.

    Modules and libraries are hundreds of thousands of objects that live as long as the service; to look through them
    all for cycles holds up every request for a tenth of a second, several times a minute under load.
    """
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        with suppress(AttributeError):  # of glibc only: what loading took and gave back goes back to the machine
            ctypes.CDLL(None).malloc_trim(0)
