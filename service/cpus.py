"""How many CPUs this process may really use: its affinity, and the quota of its control group."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """At least 1. torch and most tools count the machine's cores instead, which a quota makes wrong."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return affinity if quota is None else max(min(affinity, math.floor(quota + 0.5)), 1)


def cpu_quota(self_file: Path = _SELF, root: Path = _CGROUP_ROOT) -> float | None:
    """The least CPU quota of the process's control group and those above it, in CPUs; None without one.

    Reads version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`).
    """
    quotas: list[float] = []
    for line in _lines(self_file):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            quotas += _along(root, path, _version_2)
            quotas += _along(root / "unified", path, _version_2)
        elif "cpu" in controllers.split(","):
            quotas += _along(root / "cpu", path, _version_1)
            quotas += _along(root / controllers, path, _version_1)
    return min(quotas, default=None)


def _along(root: Path, path: str, read: Callable[[Path], float | None]) -> list[float]:
    """The quotas of a group and of those above it."""
    found: list[float] = []
    parts = [part for part in path.split("/") if part and part != ".."]
    for depth in range(len(parts), -1, -1):
        quota = read(root.joinpath(*parts[:depth]))
        if quota is not None:
            found.append(quota)
    return found


def _version_2(group: Path) -> float | None:
    words = " ".join(_lines(group / "cpu.max")).split()
    return float(words[0]) / float(words[1]) if len(words) == 2 and words[0] != "max" else None


def _version_1(group: Path) -> float | None:
    quota, period = " ".join(_lines(group / "cpu.cfs_quota_us")), " ".join(_lines(group / "cpu.cfs_period_us"))
    return float(quota) / float(period) if quota and period and float(quota) > 0 else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except OSError:
        return []
