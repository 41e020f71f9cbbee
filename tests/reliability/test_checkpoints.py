"""Damaged and forged versions that are loaded under load: refused by name, never executed, and the old one serves."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest

from model_store import Store
from tests.reliability.damage import DAMAGES, MANIFEST
from tests.reliability.figures import Proof
from tests.reliability.markers import LONG
from tests.service.helpers import DIGITS, Running, images, publish_small, running

pytestmark = pytest.mark.anyio
TOKEN = "the administrator of a test, who may load and unload"
ITEM = {"items": images(1).tolist()}


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=LONG)])
async def test_every_damaged_version_is_refused_by_name_while_the_old_one_serves(
    tmp_path: Path, rounds: int, proof: Proof
) -> None:
    root, marker = tmp_path / "store", tmp_path / "executed"
    (tmp_path / "token").write_text(TOKEN)
    for seed in (0, 1):
        publish_small(root, "digits", DIGITS, seed)
    version, pristine = root / "digits" / "2", tmp_path / "pristine"
    version.rename(pristine)
    Store(root).set_alias("digits", "default", 1)
    async with running(root, admin_token_file=tmp_path / "token") as service:
        before = (await service.http.post("/score", json=ITEM)).content
        over = asyncio.Event()

        async def client() -> None:
            while not over.is_set():
                answer = await service.http.post("/score", json=ITEM)
                proof.expect(answer.content == before, f"an answer changed: {answer.text}")
                await asyncio.sleep(0.005)

        clients = asyncio.gather(*(client() for _ in range(2)))
        for name, damage in list(DAMAGES.items()) * rounds:
            shutil.copytree(pristine, version)
            Store(root).set_alias("digits", "default", 2)
            damage(version, marker)
            answer = await load(service)
            proof.injected()
            if (version / MANIFEST).exists() or version.is_symlink():
                proof.expect(answer.status_code == 422, f"{name}: {answer.status_code} {answer.text}")
                proof.expect("digits@2 is refused" in answer.text, f"{name}: {answer.text}")
            else:  # then there is no version 2, and the newest whole one is loaded
                proof.expect(answer.json() == {"model": "digits@1"}, f"{name}: {answer.text}")
            proof.expect(str(tmp_path) not in answer.text, f"{name}: tells a path")
            proof.expect(not marker.exists(), f"{name}: code was executed")
            remove(version)
            for left in tmp_path.glob("elsewhere*"):
                remove(left)
        over.set()
        await clients
        shutil.copytree(pristine, version)
        Store(root).set_alias("digits", "default", 2)
        proof.expect((await load(service)).json() == {"model": "digits@2"}, "what is whole is not loaded")
    proof.hold()


async def load(service: Running) -> httpx.Response:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return await service.http.post("/v2/repository/models/digits/load", headers=headers)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
