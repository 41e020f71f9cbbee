"""Children that end with their parent, and processes that die too often."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service import keeper
from service.keeper import Deaths, KeepsDying, environment_of
from service.processes import PARENT
from service.settings import Settings
from tests.service.servers import ROOT, alive, wait_until

_CHILD = "from service.processes import die_with_parent; die_with_parent(); import time; time.sleep(600)"
_PARENT = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {_CHILD!r}], env=os.environ | {{"{PARENT}": str(os.getpid())}})
print(child.pid, flush=True)
sys.stdin.read(1)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a child of its parent's death")
@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_child_ends_with_its_parent_whenever_that_dies(seconds: float) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            parent.wait(max(seconds, 0.001))
        assert alive(child)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not alive(child), 30)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a child of its parent's death")
def test_a_child_whose_parent_is_another_by_now_ends_at_once() -> None:
    environment = os.environ | {PARENT: "1" if os.getpid() != 1 else "2"}
    done = subprocess.run([sys.executable, "-c", _CHILD], env=environment, cwd=ROOT, timeout=60)
    assert done.returncode == 1


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_three_deaths_within_a_minute_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(keeper, "time", clock)
    deaths = Deaths()
    for _ in range(5):
        clock.now += 31
        deaths.note("it")
    clock.now += 10
    with pytest.raises(KeepsDying, match="it has died 3 times"):
        deaths.note("it")


def test_a_child_gets_the_settings_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(store=tmp_path, max_n=7, default_model="digits@2", deadline=1.5, admin_token_file=tmp_path)
    for name in ("SLUICE_MAX_N", "SLUICE_STORE"):
        monkeypatch.setenv(name, "overwritten")
    told: dict[str, Any] = environment_of(settings)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
    assert told[PARENT] == str(os.getpid())
    assert str(ROOT) in told["PYTHONPATH"].split(os.pathsep)
