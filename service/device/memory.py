"""How much memory the service computes in, and how much of it is taken."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import torch

from service import heap
from service.control_group import ControlGroup

_OUT_OF_MEMORY = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDA out of memory",
    "cudaErrorMemoryAllocation",
    "DefaultCPUAllocator: can't allocate memory",
)
_STATM = Path("/proc/self/statm")


def used_bytes(device: torch.device) -> int:
    """Bytes of a GPU that anybody has taken; on the CPU, those of the process that are in memory.

    On a GPU that includes what PyTorch keeps cached, the context of each process and other programs.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total - free
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def total_bytes(device: torch.device) -> int:
    """Bytes of the GPU; on the CPU, those of the machine or of the container's limit, whichever is less."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machine, ControlGroup().memory() or machine)


def out_of_memory(error: Exception) -> bool:
    """Whether an error means that the device's memory did not suffice.

    Libraries that take memory of their own on a GPU report it in words, by an error of a general kind.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def settle() -> None:
    """Let go of what nobody needs, and have Python's collector pass over whatever is left from now on.

    Modules and libraries are hundreds of thousands of objects that live as long as the service; to look through them
    all for cycles holds up every request for a tenth of a second, several times a minute under load.
    """
    gc.collect()
    gc.freeze()
    heap.trim()
