"""What processes take of the machine, as Linux counts it."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

_PROC = Path("/proc")


def resident_bytes(process: int) -> int:
    """Memory of a process that is in RAM."""
    return _status(process, "VmRSS")


def peak_bytes(process: int) -> int:
    """The most of it so far, or since ``forget_the_peak``."""
    return _status(process, "VmHWM")


def forget_the_peak(process: int) -> None:
    (_PROC / str(process) / "clear_refs").write_text("5")  # man proc_pid_clear_refs


def _status(process: int, field: str) -> int:
    for line in (_PROC / str(process) / "status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no {field} of process {process}")


def cpu_seconds(process: int) -> float:
    """Time on any core that all threads of a process have had so far."""
    return _cpu_seconds(_PROC / str(process) / "stat")


def cpu_seconds_of_thread(process: int, thread: int) -> float:
    """That of one thread; the first has the process's own number."""
    return _cpu_seconds(_PROC / str(process) / "task" / str(thread) / "stat")


def cpu_seconds_below(process: int) -> float:
    """Time on any core that the living descendants of a process have had so far, without its own."""
    children: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for folder in _PROC.glob("[0-9]*"):
        try:
            fields = _stat(folder / "stat")
        except OSError:  # it has ended
            continue
        children[int(fields[1])].append((int(folder.name), _cpu_ticks(fields)))
    ticks, descendants = 0, [process]
    while descendants:
        for child, taken in children[descendants.pop()]:
            ticks += taken
            descendants.append(child)
    return ticks / os.sysconf("SC_CLK_TCK")


def _cpu_seconds(stat: Path) -> float:
    return _cpu_ticks(_stat(stat)) / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str]:
    """State, parent and so on (man proc_pid_stat), behind a name that may hold anything but a last parenthesis."""
    return path.read_text("utf-8", "replace").rpartition(")")[2].split()


def _cpu_ticks(fields: list[str]) -> int:
    return int(fields[11]) + int(fields[12])
