"""Bulk runs on real processes: killed again and again, over two devices, and in bounded memory."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.scale.markers import LONG
from tests.service.helpers import images, picture

pytestmark = LONG

_KILLS = 10
_BOUND_KIB = 160 * 1024
"""What a run over a large file may take more than one over a small file, in KiB of resident memory.

Three chunks of 16 MiB of items, their scores and the text of a block, each more than once for a moment.
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "service", *map(str, arguments)]


def run(*arguments: object) -> int:
    """Run a command to its end; the most resident memory that it had, in KiB."""
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE)
    assert process.stderr is not None
    told = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, told
    assert isinstance(used, resource.struct_rusage)
    return used.ru_maxrss


def parts_in(folder: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in sorted(folder.glob("part-*.parquet"))}


def killed_and_repeated(arguments: Sequence[object], folder: Path, seconds: float, seed: int) -> int:
    """Start a command again and again, kill each start at a random moment, then let it end; how many kills hit."""
    moments, hits = random.Random(seed), 0
    for _ in range(_KILLS):
        process = subprocess.Popen(command(*arguments, "-o", f"{folder}/"), stderr=subprocess.DEVNULL)
        try:
            process.wait(moments.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            hits += 1
        process.kill()
        process.wait()
    run(*arguments, "-o", f"{folder}/")
    return hits


@pytest.mark.timeout(600)
@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
def test_a_run_killed_at_ten_moments_gives_the_bytes_of_an_undisturbed_one(
    calibrated_store: Path, tmp_path: Path, devices: str
) -> None:
    rows = np.random.default_rng(1).standard_normal((400_000, 2)).astype(np.float32)
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", header="x,y", comments="")
    options = ("--model", "points", "--store", calibrated_store, "--devices", devices, "--part-rows", 10_000)
    given = ("score", tmp_path / "rows.csv", *options)
    began = time.monotonic()
    run(*given, "-o", f"{tmp_path}/undisturbed/")
    took = time.monotonic() - began
    # A start may get as far as two thirds of a run: ten of them do not get to the end without going on.
    assert killed_and_repeated(given, tmp_path / "killed", took * 0.66, seed=len(devices)) >= 3
    found, expected = parts_in(tmp_path / "killed"), parts_in(tmp_path / "undisturbed")
    assert len(expected) == 40
    assert found == expected
    names = ("_job.json", "_summary.json")
    assert all((tmp_path / "killed" / name).exists() for name in names)
    summaries = [json.loads((tmp_path / run / "_summary.json").read_text()) for run in ("killed", "undisturbed")]
    assert summaries[0] == summaries[1]
    assert summaries[0]["rows"] == 400_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["npy", "csv"])
def test_memory_does_not_grow_with_the_input(calibrated_store: Path, tmp_path: Path, kind: str) -> None:
    used = []
    for count in (100_000, 3_000_000):
        path = tmp_path / f"rows-{count}.{kind}"
        if kind == "npy":
            np.save(path, np.random.default_rng(1).standard_normal((count, 2)))
        else:
            text = "".join(f"{x:.6f},{y:.6f}\n" for x, y in np.random.default_rng(1).standard_normal((10_000, 2)))
            with path.open("w") as file:
                file.write("x,y\n")
                file.writelines([text] * (count // 10_000))
        given = ("score", path, "--model", "points", "--store", calibrated_store, "--device", "cpu")
        used.append(run(*given, "-o", f"{path}-scores/"))
    assert used[1] - used[0] < _BOUND_KIB, f"{used[0]} KiB for 100,000 rows, {used[1]} KiB for 3,000,000"


@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_pictures(calibrated_store: Path, tmp_path: Path) -> None:
    pixels = images(100)
    for name, count in (("few", 1_000), ("many", 20_000)):
        (tmp_path / name).mkdir()
        for place in range(count):
            (tmp_path / name / f"{place:06d}.png").write_bytes(picture(pixels[place % 100]))
    used = [
        run(
            "score", tmp_path / name, "--store", calibrated_store, "--device", "cpu", "-o", f"{tmp_path}/{name}-scores/"
        )
        for name in ("few", "many")
    ]
    assert used[1] - used[0] < _BOUND_KIB, f"{used[0]} KiB for 1,000 pictures, {used[1]} KiB for 20,000"
