"""A temporary directory without room: requests are answered all the same, and no process dies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.api.metric_files import AllocatedFile
from tests.reliability.markers import LONG
from tests.service.servers import WAIT, serving


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize("full_at_start", [False, pytest.param(True, marks=LONG)])
def test_a_service_whose_temporary_directory_fills_up_goes_on(
    store: Path, tmp_path: Path, small_disk: Path, full_at_start: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    if full_at_start:
        fill(small_disk)
    with serving(store, tmp_path / "log") as server:
        apis = server.children("service.api")
        fill(small_disk)
        for number in range(1, 3):
            for method in ("GET", "POST", "OPTIONS"):
                for path in ("/score", "/sample", "/encode", "/models", "/models/digits", "/nowhere", "/metrics"):
                    answer = httpx.request(method, f"{server.address}{path}?n={number}", timeout=WAIT)
                    assert answer.status_code < 500, (method, path, answer.text)
        files = {"files": ("a.png", b"\x89PNG" + b"a" * 2**20, "image/png")}
        assert server.post("/score", files=files).status_code == 400
        assert server.get("/health/live") == server.get("/health/ready") == 200
        assert server.children("service.api") == apis
    assert "died" not in (tmp_path / "log").read_text()


def test_counts_without_room_are_kept_in_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = AllocatedFile(str(tmp_path / "counts.db"))

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    for number in range(2000):  # more than a file holds at first
        counts.write_value(f"name-{number}-{'x' * 60}", float(number), 0.0)
    for number in range(2000):
        assert counts.read_value(f"name-{number}-{'x' * 60}")[0] == number
    kept = list(AllocatedFile.read_all_values_from_file(str(tmp_path / "counts.db")))
    assert 100 < len(kept) < 2000
    counts.close()
    other = AllocatedFile(str(tmp_path / "other.db"))
    other.write_value("name", 3.0, 0.0)
    assert other.read_value("name")[0] == 3.0
    assert not (tmp_path / "other.db").exists()


def fill(disk: Path) -> None:
    with (disk / "fill").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"a" * 4096)
        except OSError:
            return
