"""How threads share the processor and Python's interpreter: the device's is the one that must not wait."""

from __future__ import annotations

import ctypes
import sys

import torch
from threadpoolctl import ThreadpoolController

_PR_SET_TIMERSLACK = 29  # linux/prctl.h


def wake_promptly() -> None:
    """From now on the calling thread's timed waits end when they should; Linux may add 50 microseconds to each.

    A thread that wants Python's interpreter asks for it in waits of `sys.getswitchinterval()`, and the device's wants
    it back after every kernel.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)


def compute_in(threads: int | None) -> None:
    """From now on an operation of the calling thread runs in so many threads; None: in as many as PyTorch takes.

    `torch.set_num_threads` would do it too, but starts a second pool of threads that gets in the way of the first.
    """
    torch.get_num_threads()  # PyTorch sets a thread's number when first asked for it, and then no more
    if threads is not None:
        ThreadpoolController().select(user_api="openmp").limit(limits=threads)


def compute_alone() -> None:
    """From now on what the calling thread computes runs in it alone.

    Every thread that runs a kernel in parallel gets workers of its own that stay. With more of them than cores OpenMP
    lets workers sleep between two kernels, and waking them up slows the device's thread down.
    """
    compute_in(1)
