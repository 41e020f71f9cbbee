"""Stores that were edited by hand or damaged: what can be served is served, and the rest is refused by name."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

import pytest

from model_store import Store
from tests.reliability.damage import DAMAGES, MANIFEST, edit
from tests.reliability.figures import Proof
from tests.reliability.markers import LONG, share_of
from tests.service.helpers import DIGITS, assert_problem, publish_small, running

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("aliases", "said"),
    [
        ('{"default": 7}', "version 7, which is not there"),
        ('{"default": ' + "[" * 100_000 + "]" * 100_000 + "}", "aliases.json"),
        ("\0" * 4096, "aliases.json"),
        ("", "aliases.json"),
    ],
)
async def test_a_stale_or_unreadable_alias_means_the_newest_version_and_the_log_says_so(
    tmp_path: Path, aliases: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in (0, 1):
        publish_small(tmp_path, "digits", DIGITS, seed)
    publish_small(tmp_path, "other", DIGITS)
    (tmp_path / "digits" / "aliases.json").write_text(aliases)
    with caplog.at_level(logging.WARNING, "sluice"):
        async with running(tmp_path) as service:
            for name, version in (("digits", 2), ("other", 1)):
                answer = await service.http.post(f"/sample?model={name}")
                assert answer.headers["x-sluice-model"] == f"{name}@{version}"
            assert (await service.http.get("/health/ready")).status_code == 200
            assert (await service.http.get("/health/live")).status_code == 200
            assert (await service.http.get("/models")).json()["refused"] == []
    assert any(said in message and "digits" in message for message in caplog.messages)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every directory")
async def test_a_model_whose_directory_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    publish_small(tmp_path, "digits", DIGITS)
    publish_small(tmp_path, "locked", DIGITS)
    (tmp_path / "locked").chmod(0)
    try:
        await _refused_by_name(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o755)


async def test_a_model_whose_directory_is_broken_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as root, who may read every directory: listing it fails as a broken disk does."""
    publish_small(tmp_path, "digits", DIGITS)
    publish_small(tmp_path, "locked", DIGITS)
    listing = os.scandir

    def scandir(path: str | Path) -> object:
        if str(path).endswith("locked"):
            raise OSError(5, "Input/output error")
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    await _refused_by_name(tmp_path)


async def _refused_by_name(store: Path) -> None:
    async with running(store) as service:
        (refused,) = (await service.http.get("/models")).json()["refused"]
        assert refused["name"] == "locked"
        assert "directory cannot be read" in refused["reason"]
        assert_problem(await service.http.post("/sample?model=locked"), 503, "model")
        assert await service.metric("sluice_model_load_failures_total") == 1
        assert (await service.http.post("/sample?model=digits")).status_code == 200
        assert (await service.http.get("/health/ready")).status_code == 200
        assert (await service.http.get("/health/live")).status_code == 200


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=LONG)])
async def test_each_model_is_looked_up_once_however_many_there_are(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(count):
        version = tmp_path / f"broken-{number}" / "1"
        version.mkdir(parents=True)
        (version / "manifest.json").write_text("{}")
    publish_small(tmp_path, "digits", DIGITS)
    scans, original = 0, Store.names

    def names(self: Store) -> list[str]:
        nonlocal scans
        scans += 1
        return original(self)

    monkeypatch.setattr(Store, "names", names)
    async with running(tmp_path) as service:
        assert scans <= 3
        assert len((await service.http.get("/models")).json()["refused"]) == count
        assert (await service.http.post("/sample?model=digits")).status_code == 200


@pytest.mark.parametrize("count", [20, pytest.param(share_of(2000), marks=LONG)])
async def test_in_a_store_that_is_half_broken_the_other_half_serves(tmp_path: Path, count: int, proof: Proof) -> None:
    root, pristine = tmp_path / "store", tmp_path / "pristine"
    publish_small(pristine, "whole", DIGITS)
    whole = pristine / "whole"
    damages = list(DAMAGES.items())
    for number in range(count):
        name = f"{'whole' if number % 2 else 'broken'}-{number}"
        shutil.copytree(whole, root / name)
        edit(root / name / "1", lambda manifest, name=name: manifest.__setitem__("name", name))  # type: ignore[misc]
        if not number % 2:
            folder = tmp_path / f"outside-{number}"
            folder.mkdir()
            damages[number // 2 % len(damages)][1](root / name / "1", folder / "executed")
            proof.injected()
    async with asyncio.timeout(600), running(root) as service:
        while (listed := (await service.http.get("/models")).json())["loading"]:
            await asyncio.sleep(0.1)
        names = {model["name"] for model in listed["models"]}
        proof.expect(names == {f"whole-{number}" for number in range(1, count, 2)}, "every whole model serves")
        unlisted = {f"broken-{number}" for number in range(0, count, 2)} - {one["name"] for one in listed["refused"]}
        # Where the manifest is missing there is no version, and nothing that could be refused.
        proof.expect(all(not (root / name / "1" / MANIFEST).exists() for name in unlisted), "every other is refused")
        for name in list(names)[:50]:
            answer = await service.http.post(f"/sample?model={name}")
            proof.expect(answer.status_code == 200, f"{name}: {answer.text}")
        proof.expect((await service.http.get("/health/ready")).status_code == 200, "ready")
    proof.expect(not list(tmp_path.glob("outside-*/executed")), "code was executed")
    proof.hold()
