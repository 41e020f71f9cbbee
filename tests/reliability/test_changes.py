"""Models that change under load: no request fails, and each answer comes from exactly one version."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from model_store import Store
from tests.reliability.asks import JSON, SCORE
from tests.reliability.figures import Proof
from tests.reliability.load import Ask, load
from tests.reliability.markers import LONG, share_of
from tests.service.helpers import DIGITS, POINTS, Running, images, publish_small, running
from tests.service.servers import serving

TOKEN = "the administrator of a test, who may load and unload"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
ITEM = {"items": images(1).tolist()}
VERSIONS = 3


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A store with three versions of `digits`, and `points`, which comes and goes."""
    root = tmp_path / "store"
    for seed in range(VERSIONS):
        publish_small(root, "digits", DIGITS, seed)
    publish_small(root, "points", POINTS)
    (tmp_path / "token").write_text(TOKEN)
    return root


async def answers_of(store: Path) -> dict[str, bytes]:
    """What each version answers, by reference."""
    found = {}
    for version in range(1, VERSIONS + 1):
        Store(store).set_alias("digits", "default", version)
        async with running(store) as service:
            answer = await service.http.post("/score", json=ITEM)
            assert answer.status_code == 200
            found[answer.json()["model"]] = answer.content
    assert len(set(found.values())) == VERSIONS, "the versions differ"
    return found


async def change(
    post: Callable[[str], Awaitable[httpx.Response]], store: Path, moments: random.Random, proof: Proof
) -> None:
    """One change: another version behind the alias, loaded; and now and then a model that leaves and comes back."""
    version = moments.randint(1, VERSIONS)
    Store(store).set_alias("digits", "default", version)
    answer = await post("/v2/repository/models/digits/load")
    proof.injected()
    proof.expect(answer.json() == {"model": f"digits@{version}"}, f"loading answered {answer.text}")
    if moments.random() < 0.5:
        for call in ("unload", "load"):
            answer = await post(f"/v2/repository/models/points/{call}")
            proof.expect(answer.status_code == 200, f"{call} answered {answer.text}")
            proof.injected()


@pytest.mark.anyio
async def test_answers_come_from_one_version_each_while_versions_change(three: Path, proof: Proof) -> None:
    expected = await answers_of(three)
    seen: set[str] = set()
    over = asyncio.Event()

    async def client(service: Running) -> None:
        while not over.is_set():
            answer = await service.http.post("/score", json=ITEM)
            proof.expect(answer.status_code == 200, answer.text)
            model = answer.json().get("model", "")
            seen.add(model)
            proof.expect(expected.get(model) == answer.content, f"{model} does not answer so")

    async with running(three, admin_token_file=three.parent / "token") as service:
        clients = [asyncio.create_task(client(service)) for _ in range(4)]
        moments = random.Random(0)
        for _ in range(6):
            await change(lambda url: service.http.post(url, headers=ADMIN), three, moments, proof)
        over.set()
        await asyncio.gather(*clients)
    proof.expect(len(seen) > 1, "the versions changed under the clients")
    proof.hold()


@LONG
@pytest.mark.anyio
@pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")
async def test_reload_alias_and_unload_under_the_load_of_many(three: Path, tmp_path: Path, proof: Proof) -> None:
    expected = {hashlib.sha256(body).hexdigest() for body in (await answers_of(three)).values()}
    # A model that leaves is unknown or unavailable for as long as it is away, and nothing else.
    away = Ask("points", "POST", "/score?model=points", json.dumps({"items": [[0.5, 0.25]]}).encode(), JSON)
    asks = [SCORE, Ask(**{**vars(away), "expected": (200, 404, 503)})]
    moments = random.Random(1)
    with (
        serving(three, tmp_path / "log", admin_token_file=tmp_path / "token", api_processes=2) as server,
        load(server, asks, clients=6, pause=0.002) as clients,
    ):

        async def post(url: str) -> httpx.Response:
            return server.post(url, headers=ADMIN)

        for _ in range(share_of(100)):
            time.sleep(moments.uniform(0, 0.1))
            await change(post, three, moments, proof)
        answers = clients.stop()
        proof.expect(server.metric("sluice_queue_jobs") == 0, "jobs are left")
    for one in answers.surprises:
        proof.expect(False, str(one))
    proof.expect(set(answers.bodies["score"]) <= expected, "an answer comes from no version, or from two")
    proof.expect(len(answers.bodies["score"]) == VERSIONS, "each version answered")
    proof.expect(len(answers.bodies["points"]) == 1, "a model that comes back answers as before")
    proof.hold()


@pytest.mark.anyio
async def test_a_store_that_is_deleted_while_it_serves_stops_no_request(three: Path, proof: Proof) -> None:
    async with running(three, admin_token_file=three.parent / "token") as service:
        before = await service.http.post("/score", json=ITEM)
        shutil.rmtree(three)
        proof.injected()
        for _ in range(5):
            after = await service.http.post("/score", json=ITEM)
            proof.expect(after.content == before.content, f"an answer changed: {after.text}")
        loading = await service.http.post("/v2/repository/models/digits/load", headers=ADMIN)
        proof.expect(loading.status_code in {404, 422}, f"loading answered {loading.status_code} {loading.text}")
        gone = await service.http.get("/models/digits/pictures/samples.png")
        proof.expect(gone.status_code == 404, f"a picture answered {gone.status_code}")
        for path in ("/models", "/models/digits", "/health/ready", "/health/live"):
            proof.expect((await service.http.get(path)).status_code == 200, path)
        last = await service.http.post("/score", json=ITEM)
        proof.expect(last.content == before.content, "what was refused took the place of what served")
    proof.hold()
