"""A control group is found where the kernel says it is, limits its processes, and is gone afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import children
from bench.side_by_side import cpu_group

MOUNTS_V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
"""
MOUNTS_V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
MOUNTS_CONTAINER = "41 31 0:38 /docker/0123 /sys/fs/cgroup/cpu ro,relatime - cgroup cgroup rw,cpu\n"


@pytest.mark.parametrize(
    ("mounts", "own", "expected"),
    [
        (MOUNTS_V1, "3:cpuset:/a\n1:cpu,cpuacct:/jobs/7\n", [(1, "/sys/fs/cgroup/cpu,cpuacct", "jobs/7")]),
        (MOUNTS_V2, "0::/user.slice/one.scope\n", [(2, "/sys/fs/cgroup", "user.slice/one.scope")]),
        (MOUNTS_CONTAINER, "1:cpu:/docker/0123/inner\n", [(1, "/sys/fs/cgroup/cpu", "inner")]),
        (MOUNTS_CONTAINER, "1:cpu:/elsewhere\n", [(1, "/sys/fs/cgroup/cpu", "")]),
        (MOUNTS_V1, "3:cpuset:/a\n", []),
        ("", "", []),
    ],
)
def test_hierarchies_are_found_in_what_the_kernel_says(
    mounts: str, own: str, expected: list[tuple[int, str, str]]
) -> None:
    wanted = [(version, Path(mount), Path(mount) / inside) for version, mount, inside in expected]
    assert cpu_group.hierarchies(mounts, own) == wanted


def test_version_1_comes_first_where_both_are_mounted() -> None:
    both = MOUNTS_V1 + "42 31 0:39 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    found = cpu_group.hierarchies(both, "1:cpu,cpuacct:/\n0::/\n")
    assert [(each.version, each.own) for each in found] == [
        (1, Path("/sys/fs/cgroup/cpu,cpuacct")),
        (2, Path("/sys/fs/cgroup/unified")),
    ]


def test_without_a_hierarchy_no_group_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_group, "hierarchies", lambda *_: [])
    with pytest.raises(cpu_group.NoCpuGroup, match="no writable cpu control group"), cpu_group.limited(1.0):
        pass


def test_where_the_controller_is_missing_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a plain folder a new group has no cgroup.subtree_control above it that could be switched on.
    monkeypatch.setattr(cpu_group, "hierarchies", lambda *_: [cpu_group.Hierarchy(2, tmp_path / "a", tmp_path / "a")])
    with pytest.raises(cpu_group.NoCpuGroup), cpu_group.limited(1.0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_child_runs_in_the_group_and_both_are_gone_at_the_end() -> None:
    try:
        with cpu_group.limited(0.5) as group:
            process = children.start([sys.executable, "-c", "import time; time.sleep(600)"], groups=[group])
            while "sleep" not in Path(f"/proc/{process.pid}/cmdline").read_text().partition("launch.py")[0]:
                assert process.poll() is None
            assert group.name in Path(f"/proc/{process.pid}/cgroup").read_text()
            limit = group / "cpu.cfs_quota_us"
            text = limit.read_text() if limit.exists() else (group / "cpu.max").read_text()
            assert text.split()[0] == "50000"
    except cpu_group.NoCpuGroup as error:
        pytest.skip(str(error))
    assert process.wait(30) == -9
    assert not group.exists()
