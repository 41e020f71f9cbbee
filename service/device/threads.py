"""How many threads an operation of the device runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from threadpoolctl import ThreadpoolController


def compute_in(threads: int) -> None:
    """From now on an operation of the calling thread runs in this number of threads.

    `torch.set_num_threads` would do it too, but starts a second pool of threads that gets in the way of the first.
    """
    torch.get_num_threads()  # PyTorch sets a thread's number when first asked for it, and then no more
    ThreadpoolController().select(user_api="openmp").limit(limits=threads)


def compute_alone() -> None:
    """From now on what the calling thread computes runs in it alone."""
    compute_in(1)


class Threads:
    """The number of threads of each tick."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit or len(os.sched_getaffinity(0))

    def adopt(self) -> None:
        """Call once in the thread that computes."""
        compute_in(self._limit)

    @contextmanager
    def computing(self, program: Any, rows: int) -> Iterator[None]:
        """Around one tick."""
        yield
