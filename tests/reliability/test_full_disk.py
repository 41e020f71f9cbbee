"""Disks without room, and stores that may not be written to: requests are answered all the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from model_store import Store
from service.api.metric_files import AllocatedFile
from tests.reliability.figures import Proof
from tests.reliability.markers import LONG
from tests.reliability.mounts import fill, make_read_only, mounted
from tests.service.helpers import DIGITS, publish_small, running
from tests.service.servers import WAIT, serving


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    with mounted(tmp_path / "disk", "512k") as disk:
        yield disk


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


TOKEN = "the administrator of a test, who may load and unload"


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", [make_read_only, fill])
async def test_a_store_that_cannot_be_written_to_serves_and_takes_no_half_version(
    tmp_path: Path, trouble: Callable[[Path], None], proof: Proof
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with mounted(tmp_path / "disk", "2m") as disk:
        root = disk / "store"
        for seed in (0, 1):
            publish_small(root, "digits", DIGITS, seed)
        Store(root).set_alias("digits", "default", 1)
        async with running(root, admin_token_file=tmp_path / "token") as service:
            Store(root).set_alias("digits", "default", 2)
            trouble(disk)
            proof.injected()
            with pytest.raises(OSError, match=r"Read-only|No space"):
                publish_small(root, "digits", DIGITS, seed=2)
            proof.expect({path.name for path in (root / "digits").iterdir()} == {"1", "2", "aliases.json"}, "remains")
            proof.expect(Store(root).aliases("digits") == {"default": 2}, "the alias moved")
            proof.expect((await service.http.post("/sample")).headers["x-sluice-model"] == "digits@1", "it serves")
            url, headers = "/v2/repository/models/digits/load", {"authorization": f"Bearer {TOKEN}"}
            loaded = await service.http.post(url, headers=headers)
            proof.expect(loaded.json() == {"model": "digits@2"}, f"loading answered {loaded.text}")
            proof.expect((await service.http.post("/sample")).headers["x-sluice-model"] == "digits@2", "it serves")
    proof.hold()
