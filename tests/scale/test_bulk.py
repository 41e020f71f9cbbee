"""Bulk runs on real processes: killed again and again, over two devices, and in bounded memory."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.model_store.remote.s3_server import URL, Answer, Bucket, bucket_of, first, s3_server
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


def killed_and_repeated(arguments: Sequence[object], folder: Path | str, seconds: float, seed: int) -> int:
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
    for count in (100_000, 2_000_000):
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
    assert used[1] - used[0] < _BOUND_KIB, f"{used[0]} KiB for 100,000 rows, {used[1]} KiB for 2,000,000"


@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_pictures(calibrated_store: Path, tmp_path: Path) -> None:
    for place, pixels in enumerate(images(100)):
        (tmp_path / f"{place:02d}.png").write_bytes(picture(pixels))
    for name, count in (("few", 1_000), ("many", 100_000)):
        (tmp_path / name).mkdir()
        for place in range(count):  # each file has names enough for its hundredth of the album
            os.link(tmp_path / f"{place % 100:02d}.png", tmp_path / name / f"{place:06d}.png")
    used = [
        run(
            "score", tmp_path / name, "--store", calibrated_store, "--device", "cpu", "-o", f"{tmp_path}/{name}-scores/"
        )
        for name in ("few", "many")
    ]
    assert used[1] - used[0] < _BOUND_KIB, f"{used[0]} KiB for 1,000 pictures, {used[1]} KiB for 100,000"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    (tmp_path / "empty").mkdir()
    with s3_server() as server, bucket_of(*server, tmp_path / "empty", monkeypatch) as found:
        yield found


@pytest.mark.timeout(600)
def test_a_run_from_and_to_s3_killed_at_ten_moments_gives_the_bytes_of_an_undisturbed_one(
    bucket: Bucket, calibrated_store: Path, tmp_path: Path
) -> None:
    values = np.random.default_rng(2).standard_normal((200_000, 2)).astype(np.float32)
    np.save(tmp_path / "rows.npy", values)
    bucket.put("rows.npy", (tmp_path / "rows.npy").read_bytes())
    options = ("--model", "points", "--store", calibrated_store, "--device", "cpu", "--part-rows", 5_000)
    given = ("score", f"{URL}/rows.npy", *options)
    began = time.monotonic()
    run(*given, "-o", f"{tmp_path}/undisturbed/")
    took = time.monotonic() - began
    bucket.door.faults = [first(5, Answer("503 Slow Down")), first(3, Answer(keep=0.5), "GET", "rows.npy")]
    hits = killed_and_repeated(given, f"{URL}/scores", took * 0.66, seed=3)
    assert hits >= 3
    keys = [key for key in bucket.listed() if key.startswith("scores/part-")]
    assert {key.removeprefix("scores/"): bucket.get(key) for key in keys} == parts_in(tmp_path / "undisturbed")
    assert len(keys) == 40


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["npy", "csv"])
def test_memory_does_not_grow_with_an_input_at_a_url(
    bucket: Bucket, calibrated_store: Path, tmp_path: Path, kind: str
) -> None:
    used = []
    for count in (100_000, 2_000_000):
        path = tmp_path / f"rows-{count}.{kind}"
        if kind == "npy":
            np.save(path, np.random.default_rng(1).standard_normal((count, 2)))
        else:
            text = "".join(f"{x:.6f},{y:.6f}\n" for x, y in np.random.default_rng(1).standard_normal((10_000, 2)))
            path.write_text("x,y\n" + text * (count // 10_000))
        bucket.put(path.name, path.read_bytes())
        given = ("score", f"{URL}/{path.name}", "--model", "points", "--store", calibrated_store, "--device", "cpu")
        used.append(run(*given, "-o", f"{path}-scores/"))
    assert used[1] - used[0] < _BOUND_KIB, f"{used[0]} KiB for 100,000 rows, {used[1]} KiB for 2,000,000"
