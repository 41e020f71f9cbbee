"""How many CPUs a process may use."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from service import cpus
from service.cpus import usable_cpus


@pytest.mark.parametrize(("quota", "expected"), [(None, 4), (0.1, 1), (1.4, 1), (1.5, 2), (2.0, 2), (64.0, 4)])
def test_the_quota_bounds_the_affinity_and_at_least_one_cpu_is_left(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cpus, "ControlGroup", lambda: SimpleNamespace(cpus=lambda: quota))
    assert usable_cpus() == expected
