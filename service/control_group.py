"""The CPU quota and the memory limit of this process, as Linux's control groups state them, version 1 and 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

_SELF = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


class ControlGroup:
    """The control groups of a process: one for each controller in version 1, one for all in version 2.

    A limit holds for a group and for all below it. In a container the groups that can be seen depend on its namespace:
    its own may lie at the root although ``self_file`` names a path below. So whichever of the groups along that path
    exist are asked, up to the root, and the least limit counts.
    """

    def __init__(self, self_file: Path = _SELF, root: Path = _ROOT) -> None:
        self._self_file, self._root = self_file, root

    def cpus(self) -> float | None:
        """The quota in CPUs; None without one."""
        return self._least("cpu", _cpus_1, _cpus_2)

    def memory(self) -> int | None:
        """The limit in bytes; None without one. Version 1 states more than any machine has where there is none."""
        limit = self._least("memory", _memory_1, _memory_2)
        return None if limit is None else int(limit)

    def _least(
        self, controller: str, version_1: Callable[[Path], float | None], version_2: Callable[[Path], float | None]
    ) -> float | None:
        limits: list[float | None] = []
        for line in _lines(self._self_file):
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                for root in (self._root, self._root / "unified"):
                    limits += map(version_2, _groups(root, path))
            elif controller in controllers.split(","):
                for root in (self._root / controller, self._root / controllers):
                    limits += map(version_1, _groups(root, path))
        return min((limit for limit in limits if limit is not None), default=None)


def _groups(root: Path, path: str) -> Iterator[Path]:
    """A group's folder and those above it."""
    parts = [part for part in path.split("/") if part and part != ".."]
    for depth in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:depth])


def _cpus_1(group: Path) -> float | None:
    quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    return float(quota) / float(period) if quota and period and float(quota) > 0 else None


def _cpus_2(group: Path) -> float | None:
    words = _text(group / "cpu.max").split()
    return float(words[0]) / float(words[1]) if len(words) == 2 and words[0] != "max" else None


def _memory_1(group: Path) -> float | None:
    return _number(group / "memory.limit_in_bytes")


def _memory_2(group: Path) -> float | None:
    return _number(group / "memory.max")


def _number(file: Path) -> float | None:
    text = _text(file)
    return int(text) if text.isdecimal() else None


def _text(file: Path) -> str:
    return " ".join(_lines(file))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except OSError:
        return []
