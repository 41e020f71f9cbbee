"""A control group that limits how much CPU time its processes get, as a container's limit does.

Both versions of Linux control groups are supported: `cpu.cfs_quota_us` (version 1) and `cpu.max` (version 2).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_PERIOD_US = 100_000
"""The period that container engines set."""
_PREFIX = "sluice-bench-"
_PATIENCE = 10.0
"""Seconds until a killed process must have left its group."""


class NoCpuGroup(RuntimeError):
    """This process may not make a control group that limits CPU time."""


class Hierarchy(NamedTuple):
    """Where groups that limit CPU time are mounted: ``own`` is the directory of this process's own group."""

    version: int
    mount: Path
    own: Path


@contextmanager
def limited(cores: float) -> Iterator[Path]:
    """Yield the directory of a new control group whose processes get ``cores`` of CPU time together.

    At the end what still runs in it is killed and the group is removed. Raises NoCpuGroup.
    """
    group = _make(cores)
    try:
        yield group
    finally:
        _remove(group)


def _make(cores: float) -> Path:
    for version, mount, own in hierarchies(_read("/proc/self/mountinfo"), _read("/proc/self/cgroup")):
        # Version 2 gives no controllers to children of a group that has processes itself, so a parent may have to do.
        for parent in (own, *own.parents) if version == 2 else (own,):
            if not parent.is_relative_to(mount):
                break
            _remove_stale(parent)
            group = parent / f"{_PREFIX}{os.getpid()}"
            try:
                group.mkdir()
            except OSError:
                continue
            try:
                _limit(version, group, cores)
            except OSError:
                group.rmdir()
                continue
            return group
    raise NoCpuGroup("no writable cpu control group")


def hierarchies(mountinfo: str, cgroup: str) -> list[Hierarchy]:
    """Hierarchies with a cpu controller, version 1 first, by the texts of /proc/self/mountinfo and /proc/self/cgroup.

    Version 2 is listed even where the controller may belong to version 1: only writing to it tells.
    """
    own: dict[int, str] = {}
    for line in cgroup.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            own[2] = path
        elif "cpu" in controllers.split(","):
            own[1] = path
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        version = {"cgroup": 1, "cgroup2": 2}.get(kind, 0)
        if version not in own or (version == 1 and "cpu" not in options.split(" ")[-1].split(",")):
            continue
        # In a container the mount shows only the part of the hierarchy below its root.
        inside = Path(own[version]).relative_to(root) if Path(own[version]).is_relative_to(root) else Path()
        found.append(Hierarchy(version, Path(mount), Path(mount) / inside))
    return sorted(found)


def _limit(version: int, group: Path, cores: float) -> None:
    """Raises OSError where this process may not set the limit."""
    quota = round(cores * _PERIOD_US)
    if version == 1:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
        return
    if not (group / "cpu.max").exists():
        (group.parent / "cgroup.subtree_control").write_text("+cpu")
    (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")


def _remove(group: Path) -> None:
    give_up = time.monotonic() + _PATIENCE
    while True:
        for process in _read(group / "cgroup.procs").split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


def _remove_stale(parent: Path) -> None:
    """Remove empty groups that benchmarks left when they were killed with SIGKILL."""
    for group in parent.glob(f"{_PREFIX}*"):
        if not Path("/proc", group.name.removeprefix(_PREFIX)).exists():
            with suppress(OSError):
                group.rmdir()


def _read(path: str | Path) -> str:
    """The text of a file, or nothing where there is no such file."""
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
