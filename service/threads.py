"""Which threads compute in parallel: the device's alone."""

from __future__ import annotations

import torch
from threadpoolctl import ThreadpoolController


def compute_alone() -> None:
    """From now on what the calling thread computes runs in it alone.

    Every thread that runs a kernel in parallel gets workers of its own that stay. With more of them than cores OpenMP
    lets workers sleep between two kernels, and waking them up slows the device's thread down.
    """
    torch.get_num_threads()  # PyTorch sets a thread's number when first asked for it, and then no more
    ThreadpoolController().select(user_api="openmp").limit(limits=1)
