"""Bulk runs on Ray: the bytes of the local engine, also when the run is killed and goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.scale.markers import LONG

pytest.importorskip("ray", reason="Ray comes with the extra ray")
pytestmark = LONG


def started(*arguments: object) -> subprocess.Popen[bytes]:
    """A command in a session of its own, whose processes can be ended together."""
    command = [sys.executable, "-m", "service", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def done(*arguments: object) -> str:
    process = started(*arguments)
    _, told = process.communicate(timeout=500)
    assert process.returncode == 0, told.decode()
    return told.decode()


def parts_in(folder: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in sorted(folder.glob("part-*.parquet"))}


@pytest.mark.timeout(900)
def test_two_actors_write_the_bytes_of_the_local_engine(calibrated_store: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(1).standard_normal((300_000, 2)).astype(np.float32))
    options = ("--model", "points", "--store", calibrated_store, "--device", "cpu", "--part-rows", 5000)
    given = ("score", tmp_path / "rows.npy", *options)
    done(*given, "-o", f"{tmp_path}/local/")
    killed = started(*given, "-o", f"{tmp_path}/ray/", "--engine", "ray", "--workers", 2)
    give_up = time.monotonic() + 300
    while len(parts_in(tmp_path / "ray")) < 3 and killed.poll() is None:
        assert time.monotonic() < give_up
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    told = done(*given, "-o", f"{tmp_path}/ray/", "--engine", "ray", "--workers", 2)
    there = re.search(r"([0-9,]+) of 300,000 items are there already", told)
    assert there is not None
    assert int(there[1].replace(",", "")) >= 3 * 5000
    assert parts_in(tmp_path / "ray") == parts_in(tmp_path / "local")
    assert "points@2: 300,000 items" in told


@pytest.mark.timeout(600)
def test_what_an_actor_cannot_do_is_told(calibrated_store: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((100, 2), np.float32))
    process = started(
        *("score", tmp_path / "rows.npy", "--model", "points", "--store", calibrated_store, "--device", "cuda"),
        *("-o", f"{tmp_path}/ray/", "--engine", "ray"),
    )
    _, told = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "--device cuda: Ray's cluster has no GPU" in told.decode()
