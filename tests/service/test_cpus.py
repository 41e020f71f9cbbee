"""How many CPUs a process may use, from control groups of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service import cpus
from service.cpus import cpu_quota, usable_cpus


def group(root: Path, path: str, **files: str) -> None:
    (root / path).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / path / name.replace("__", ".")).write_text(content)


def quota(tmp_path: Path, line: str) -> float | None:
    (tmp_path / "self").write_text(line)
    return cpu_quota(tmp_path / "self", tmp_path / "root")


@pytest.mark.parametrize(
    ("content", "expected"),
    [("150000 100000\n", 1.5), ("50000 100000", 0.5), ("max 100000\n", None), ("", None), ("nonsense", None)],
)
def test_version_2(tmp_path: Path, content: str, expected: float | None) -> None:
    group(tmp_path / "root", "a/b", cpu__max=content)
    assert quota(tmp_path, "0::/a/b\n") == expected


def test_the_least_of_a_group_and_those_above_it_counts(tmp_path: Path) -> None:
    group(tmp_path / "root", "", cpu__max="800000 100000")
    group(tmp_path / "root", "a", cpu__max="200000 100000")
    group(tmp_path / "root", "a/b", cpu__max="400000 100000")
    group(tmp_path / "root", "other", cpu__max="1000 100000")
    assert quota(tmp_path, "0::/a/b\n") == 2
    assert quota(tmp_path, "0::/\n") == 8


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
def test_version_1(tmp_path: Path, folder: str) -> None:
    group(tmp_path / "root", f"{folder}/a", **{"cpu.cfs_quota_us": "300000", "cpu.cfs_period_us": "100000"})
    assert quota(tmp_path, "5:memory:/a\n4:cpu,cpuacct:/a\n") == 3
    group(tmp_path / "root", f"{folder}/a", **{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    assert quota(tmp_path, "4:cpu,cpuacct:/a\n") is None


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "nothing", tmp_path / "root") is None
    assert quota(tmp_path, "0::/../../elsewhere\n") is None


@pytest.mark.parametrize(("found", "expected"), [(None, 4), (0.1, 1), (1.4, 1), (1.5, 2), (2.0, 2), (64.0, 4)])
def test_the_quota_bounds_the_affinity_and_at_least_one_cpu_is_left(
    monkeypatch: pytest.MonkeyPatch, found: float | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cpus, "cpu_quota", lambda: found)
    assert usable_cpus() == expected
