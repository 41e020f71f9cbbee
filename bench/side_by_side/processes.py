"""CPU time and memory of a server's processes, as Linux counts them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

_PROC = Path("/proc")

Role = Literal["api", "device", "supervisor"]
_MODULES: dict[str, Role] = {"service.api": "api", "service.device": "device"}
"""Child processes of the service by the module that `python -m` runs in them."""


def tree(root: int) -> list[int]:
    """A process and its living descendants, itself first."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            children[int(_stat(folder / "stat")[1])].append(int(folder.name))
    found = [root]
    for process in found:
        found += children[process]
    return found


def role_of(arguments: list[str]) -> Role:
    """What a process of the service does, by its command line; the supervisor where that names no child."""
    for option, module in pairwise(arguments):
        if option == "-m" and module in _MODULES:
            return _MODULES[module]
    return "supervisor"


def by_role(root: int) -> dict[Role, list[int]]:
    """The processes of a service, given the one that was started."""
    found: dict[Role, list[int]] = {"api": [], "device": [], "supervisor": []}
    for process in tree(root):
        with suppress(OSError):
            found[role_of(_arguments(process))].append(process)
    return found


def cpu_seconds(processes: Iterable[int]) -> float:
    """Time on any core that all threads of some processes have had so far; one that has ended counts nothing."""
    ticks = 0
    for process in processes:
        with suppress(OSError):
            fields = _stat(_PROC / str(process) / "stat")
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def cpu_seconds_below(process: int) -> float:
    """Time on any core that the living descendants of a process have had so far, without its own."""
    return cpu_seconds(tree(process)[1:])


class Memory(NamedTuple):
    """Bytes in RAM of some processes together.

    ``pss`` is the sum of their proportional set sizes (man proc_pid_smaps): a page that n processes of the machine map
    counts for 1/n in each. It is smaller while other processes, such as this benchmark, map the same libraries.
    ``whole`` counts every page of any of them once, whoever else maps it. It is what they would need alone.
    """

    pss: int
    whole: int


def memory(processes: Iterable[int]) -> Memory:
    """Memory of some processes together; one that has ended counts nothing."""
    pss = private = 0
    shared: dict[str, int] = {}
    for process in processes:
        with suppress(OSError):
            folder = _PROC / str(process)
            pss += pss_bytes((folder / "smaps_rollup").read_text("utf-8"))
            for mapping in mappings((folder / "smaps").read_text("utf-8", "replace")):
                private += mapping.private
                key = mapping.file or f"{process} {mapping.address}"
                # Processes that map the same part of a file mostly touch the same pages of it.
                shared[key] = max(shared.get(key, 0), mapping.shared)
    return Memory(pss, private + sum(shared.values()))


def pss_bytes(rollup: str) -> int:
    """Proportional set size out of the text of /proc/PID/smaps_rollup. Raises ValueError where it is not given."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    raise ValueError("smaps_rollup gives no Pss")


class Mapping(NamedTuple):
    """One mapping of a process: bytes in RAM that only it maps, and those that others map too."""

    address: str
    file: str
    """Device, inode and offset of the mapped file; empty for a mapping of no file."""
    private: int
    shared: int


def mappings(smaps: str) -> Iterator[Mapping]:
    """The mappings out of the text of /proc/PID/smaps."""
    found: Mapping | None = None
    for line in smaps.splitlines():
        name, *fields = line.split()
        if not name.endswith(":"):
            if found:
                yield found
            _, offset, device, inode = fields[:4]
            found = Mapping(name, "" if inode == "0" else f"{device} {inode} {offset}", 0, 0)
        elif found and name in ("Private_Clean:", "Private_Dirty:"):
            found = found._replace(private=found.private + 1024 * int(fields[0]))
        elif found and name in ("Shared_Clean:", "Shared_Dirty:"):
            found = found._replace(shared=found.shared + 1024 * int(fields[0]))
    if found:
        yield found


def resident_bytes(processes: Iterable[int]) -> int:
    """Resident set sizes of some processes, added up."""
    return sum(_status(process, "VmRSS") for process in processes)


def peak_bytes(processes: Iterable[int]) -> int:
    """The largest resident set sizes so far, or since ``forget_peaks``, added up."""
    return sum(_status(process, "VmHWM") for process in processes)


def forget_peaks(processes: Iterable[int]) -> None:
    """Let ``peak_bytes`` count from now on."""
    for process in processes:
        (_PROC / str(process) / "clear_refs").write_text("5")  # man proc_pid_clear_refs


def _status(process: int, field: str) -> int:
    for line in (_PROC / str(process) / "status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no {field} of process {process}")


def _arguments(process: int) -> list[str]:
    return (_PROC / str(process) / "cmdline").read_text("utf-8", "replace").split("\0")


def _stat(path: Path) -> list[str]:
    """State, parent and so on (man proc_pid_stat), behind a name that may hold anything but a last parenthesis."""
    return path.read_text("utf-8", "replace").rpartition(")")[2].split()
