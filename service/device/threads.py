"""How many threads an operation of the device runs in.

Threads of one operation wait for each other by spinning. Where another process wants the same CPUs, that makes a tick
ten times slower, and one thread is never slower by more than its share. So a tick runs in one thread unless it is long
and CPUs are idle, and the next ones go back to one thread as soon as the device's threads have to wait for a CPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from service.cpus import usable_cpus
from service.device.stopwatch import Stopwatch

_EVERY = 0.1
"""Seconds between two looks at the machine: the kernel counts idle time in hundredths of a second."""
_CROWDED = 0.2
"""Seconds that a thread may wait for a CPU in one second before there are too many of them."""
_IDLE = 0.7
"""Idle CPUs that are taken for one more thread. Between this and 1 lies what a neighbour's short work takes."""
_LONG = 0.012
"""Seconds in one thread above which a tick is long. One picture through the paper's NICE takes less: a second thread
did not shorten its latency, and doubled the processor time."""
_AGAIN = 50
"""Ticks of a kind in two threads before one in one thread, which measures again how long the kind is. In more threads a
tick may be shorter by as much, and that many times more of them come before."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds in one thread after too many; twice as long each time that the next try is crowded at once."""


def compute_alone() -> None:
    """From now on what the calling thread computes runs in it alone."""
    _Pool().set(1)


def most_threads(limit: int | None) -> int:
    """The most threads of an operation: the CPUs that the process may use, or fewer where ``limit`` says so."""
    return min(limit or usable_cpus(), usable_cpus())


@contextmanager
def computing_in(threads: int) -> Iterator[None]:
    """A context in which the calling thread's operations run in this number of threads."""
    before, pool = torch.get_num_threads(), _Pool()
    pool.set(threads)
    try:
        yield
    finally:
        pool.set(before)


class _Pool:
    """The number of threads that operations of the calling thread run in.

    `torch.set_num_threads` would set it too, but starts a second pool of threads that gets in the way of the first.
    """

    def __init__(self) -> None:
        torch.get_num_threads()  # PyTorch sets a thread's number when first asked for it, and then no more
        self._libraries = ThreadpoolController().select(user_api="openmp").lib_controllers

    def set(self, threads: int) -> None:
        for library in self._libraries:
            library.set_num_threads(threads)


class Threads:
    """Chooses the number of threads of each tick, at most ``limit``: by default the CPUs that the process may use."""

    def __init__(self, limit: int | None) -> None:
        self.limit = most_threads(limit)
        self._pressure = Pressure(self.limit)
        self._now = 0
        self._kinds: dict[tuple[Hashable, int], _Kind] = {}
        """Ticks by their program and the power of two of their rows."""

    def adopt(self) -> None:
        """Call once, in the thread that computes."""
        self._pool = _Pool()

    @contextmanager
    def computing(self, program: Any, rows: int) -> Iterator[Stopwatch]:
        """Around one tick of a program with this number of rows. In its pauses there may be other ticks."""
        kind = self._kinds.setdefault((program.key, rows.bit_length()), _Kind())
        threads = 1 if program.alone else self._chosen(kind)
        self._use(threads)
        watch = Stopwatch(resume=lambda: self._use(threads))
        yield watch
        kind.took(threads, watch.seconds)

    def _use(self, threads: int) -> None:
        if threads != self._now:
            self._pool.set(threads)
            self._now = threads

    def _chosen(self, kind: _Kind) -> int:
        return self._pressure.threads() if self.limit > 1 and kind.is_long() else 1


class _Kind:
    """How long ticks of one kind take in one thread.

    Their time in several says little about that: threads that wait for each other can make a short tick a long one.
    """

    __slots__ = ("_seconds", "_since")

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._since = 0.0
        """Ticks in several threads since the last one in one, in parts where there were more than two."""

    def is_long(self) -> bool:
        """Whether the coming tick may have several threads."""
        return self._seconds is not None and self._seconds >= _LONG and self._since < _AGAIN

    def took(self, threads: int, seconds: float) -> None:
        """Record a tick's time. Noise only lengthens ticks: a shorter one replaces what is known, a longer moves it."""
        if threads > 1:
            self._since += 2 / threads
            return
        self._since = 0
        before = seconds if self._seconds is None else self._seconds
        self._seconds = min(seconds, 0.8 * before + 0.2 * seconds)


class Pressure:
    """How many threads fit beside the other work on the machine, from Linux's own accounts.

    Where these cannot be read, all of ``limit``.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._threads = 1
        self._looked = time.monotonic()
        self._pause, self._try_at, self._grown_at = _FIRST_PAUSE, 0.0, 0.0
        self._cpus = _affinity()
        self._before = _Account.read(self._cpus)
        if self._before is None:
            self._threads = limit

    def threads(self) -> int:
        """The number for the coming tick."""
        now = time.monotonic()
        seconds = now - self._looked
        if seconds >= _EVERY and self._before is not None:
            account = _Account.read(self._cpus)
            if account is not None:
                self._adapt(now, account.since(self._before, seconds))
                self._looked, self._before = now, account
        return self._threads

    def _adapt(self, now: float, load: _Load) -> None:
        if self._threads > 1 and load.waiting > _CROWDED * self._threads:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE) if now - self._grown_at < 2 * _EVERY else _FIRST_PAUSE
            self._threads, self._try_at = 1, now + self._pause
        elif self._threads < self._limit and load.idle >= _IDLE and now >= self._try_at:
            self._threads = min(self._threads + int(load.idle + 1 - _IDLE), self._limit)
            self._grown_at = now


class _Load:
    """Rates over an interval: CPUs that idled, and threads of this process that waited for one."""

    __slots__ = ("idle", "waiting")

    def __init__(self, idle: float, waiting: float) -> None:
        self.idle, self.waiting = idle, waiting


class _Account:
    """Seconds so far that the CPUs idled, and that threads of this process waited for one although they could run."""

    __slots__ = ("_idle", "_waited")

    def __init__(self, idle: float, waited: dict[str, int]) -> None:
        self._idle, self._waited = idle, waited

    @classmethod
    def read(cls, cpus: frozenset[int]) -> _Account | None:
        """From /proc/stat and /proc/self/task/*/schedstat; None where one of them is missing."""
        try:
            idle = 0
            for line in Path("/proc/stat").read_text("ascii").splitlines():
                words = line.split()
                if words[0].startswith("cpu") and words[0] != "cpu" and int(words[0][3:]) in cpus:
                    idle += int(words[4])
            waited = {}
            for task in os.scandir("/proc/self/task"):
                with suppress(FileNotFoundError, ProcessLookupError):  # the thread has just ended
                    waited[task.name] = int(Path(task.path, "schedstat").read_text("ascii").split()[1])
        except (OSError, ValueError, IndexError):
            return None
        return cls(idle / os.sysconf("SC_CLK_TCK"), waited) if waited else None

    def since(self, before: _Account, seconds: float) -> _Load:
        """The rates since an earlier account."""
        waited = sum(ns - before._waited.get(task, ns) for task, ns in self._waited.items())
        return _Load((self._idle - before._idle) / seconds, waited / 1e9 / seconds)


def _affinity() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()
