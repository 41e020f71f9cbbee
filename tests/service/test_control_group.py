"""Limits of control groups, from trees such as Linux shows on a machine and in a container."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.control_group import ControlGroup

Tree = Callable[[str, dict[str, str]], ControlGroup]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a process's control groups out of /proc/self/cgroup's lines and files under /sys/fs/cgroup."""

    def make(lines: str, files: dict[str, str]) -> ControlGroup:
        (tmp_path / "self").write_text(lines)
        for name, content in files.items():
            file = tmp_path / "fs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return ControlGroup(tmp_path / "self", tmp_path / "fs")

    return make


def test_a_container_with_a_namespace_of_its_own(tree: Tree) -> None:
    group = tree("0::/\n", {"cpu.max": "150000 100000\n", "memory.max": "1073741824\n"})
    assert (group.cpus(), group.memory()) == (1.5, 2**30)


def test_a_container_in_the_machines_namespace(tree: Tree) -> None:
    files = {"docker/1/cpu.max": "100000 100000\n", "docker/1/memory.max": "4096\n", "docker/memory.max": "max\n"}
    group = tree("0::/docker/1\n", files)
    assert (group.cpus(), group.memory()) == (1.0, 4096)


def test_the_least_limit_of_the_groups_above_holds(tree: Tree) -> None:
    files = {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "200000 100000\n", "a/memory.max": "1\n"}
    group = tree("0::/a/b\n", files | {"a/b/memory.max": "2\n"})
    assert (group.cpus(), group.memory()) == (0.5, 1)


@pytest.mark.parametrize("path", ["/", "/docker/1"], ids=["own namespace", "machine's namespace"])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_version_1_shows_a_container_its_group_as_the_root(tree: Tree, path: str, controllers: str) -> None:
    files = {
        f"{controllers}/cpu.cfs_quota_us": "100000\n",
        f"{controllers}/cpu.cfs_period_us": "50000\n",
        "memory/memory.limit_in_bytes": "4096\n",
    }
    group = tree(f"4:memory:{path}\n1:{controllers}:{path}\n0::{path}\n", files)
    assert (group.cpus(), group.memory()) == (2.0, 4096)


def test_no_limit_is_none(tree: Tree) -> None:
    version_2 = tree("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"})
    assert (version_2.cpus(), version_2.memory()) == (None, None)
    version_1 = tree("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"})
    assert (version_1.cpus(), version_1.memory()) == (None, None)


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    group = ControlGroup(tmp_path / "missing", tmp_path)
    assert (group.cpus(), group.memory()) == (None, None)
