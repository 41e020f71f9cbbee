"""API keys at the door: who is let in, to what, how often, and what changes while the service runs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import keys
from service.keys import SCOPES, Key, Scope
from tests.service.helpers import Running, assert_problem, images, multipart, npy, running, until

pytestmark = pytest.mark.anyio
BODY: dict[str, Any] = {"content": npy(images(2)), "headers": {"content-type": "application/x-npy"}}
SECRETS: dict[str, str] = {}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one key for each scope, under its name."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    for scope in SCOPES:
        SECRETS[scope] = keys.create(file, scope, [scope])
    (file.parent / "token").write_text("the admin token of 32 characters")
    return file


@pytest.fixture
def file(tmp_path: Path, made: Path) -> Path:
    """The same file for one test alone, which may change it."""
    return Path(shutil.copy(made, tmp_path))


@pytest.fixture(scope="module")
async def unchanged(store: Path, made: Path) -> AsyncIterator[Running]:
    """A service whose keys no test changes."""
    async with running(store, keys_file=made, admin_token_file=made.parent / "token") as started:
        yield started


@pytest.fixture
async def service(store: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr("service.api.authority._REREAD", 0.0)
    async with running(store, keys_file=file, max_steps=10**6) as started:
        yield started


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def ask(service: Running, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    if path in ("/score", "/encode"):
        return await service.http.post(path, content=BODY["content"], headers=BODY["headers"] | headers)
    return await service.http.request(method, path, headers=headers)


PATHS: dict[tuple[str, str], Scope | None] = {
    ("GET", "/health/live"): None,
    ("GET", "/health/ready"): None,
    ("GET", "/v2/health/live"): None,
    ("GET", "/v2/health/ready"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/docs"): None,
    ("POST", "/score"): "infer",
    ("POST", "/sample"): "infer",
    ("POST", "/encode"): "infer",
    ("POST", "/v2/models/digits.sample/infer"): "infer",
    ("GET", "/models"): "read",
    ("GET", "/models/digits/card"): "read",
    ("GET", "/v2"): "read",
    ("GET", "/v2/models/digits"): "read",
    ("GET", "/v2/models/digits/ready"): "read",
    ("POST", "/v2/repository/index"): "read",
    ("GET", "/metrics"): "metrics",
    ("POST", "/v2/repository/models/points/load"): "admin",
}


@pytest.mark.parametrize(("call", "scope"), PATHS.items())
async def test_each_call_asks_for_its_scope(unchanged: Running, call: tuple[str, str], scope: Scope | None) -> None:
    for held in SCOPES:
        for headers in (bearer(SECRETS[held]), {"x-api-key": SECRETS[held]}):
            answer = await ask(unchanged, *call, headers)
            if scope in (None, held):
                assert answer.status_code in (200, 400), answer.text  # 400: an inference without a body got in
            else:
                assert scope in assert_problem(answer, 403)["detail"]
    if scope is not None:
        for wrong in (
            {},
            bearer("words"),
            bearer("sluice_0_0"),
            {"x-api-key": ""},
            bearer(SECRETS["admin"][:-1] + "~"),
        ):
            answer = await ask(unchanged, *call, wrong)
            assert_problem(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_two_keys_that_differ_are_none(unchanged: Running) -> None:
    both = bearer(SECRETS["read"]) | {"x-api-key": SECRETS["read"]}
    assert (await ask(unchanged, "GET", "/models", both)).status_code == 200
    other = both | {"x-api-key": SECRETS["infer"]}
    assert "one" in assert_problem(await ask(unchanged, "GET", "/models", other), 401)["detail"]


async def test_paths_that_do_not_exist_are_not_told_to_strangers(unchanged: Running) -> None:
    for path in ("/nowhere", "/inpaint/some-id", "/score/../metrics", "/v2/models/x/versions/1/infer"):
        assert_problem(await unchanged.http.get(path), 401)
    assert_problem(await unchanged.http.get("/nowhere", headers=bearer(SECRETS["read"])), 404)


async def test_the_admin_token_still_administers_and_does_nothing_else(unchanged: Running) -> None:
    token = bearer("the admin token of 32 characters")
    assert (await ask(unchanged, "POST", "/v2/repository/models/points/load", token)).status_code == 200
    assert_problem(await ask(unchanged, "POST", "/score", token), 401)


async def test_keys_come_and_go_without_a_restart(service: Running, file: Path) -> None:
    late = keys.create(file, "late", ["infer"])
    assert (await ask(service, "POST", "/score", bearer(late))).status_code == 200
    keys.revoke(file, "late")
    assert_problem(await ask(service, "POST", "/score", bearer(late)), 401)
    assert (await ask(service, "POST", "/score", bearer(SECRETS["infer"]))).status_code == 200


async def test_a_damaged_file_leaves_the_keys_that_were_read(service: Running, file: Path) -> None:
    good = file.read_bytes()
    for content in (b"{", None):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        assert (await ask(service, "POST", "/score", bearer(SECRETS["infer"]))).status_code == 200
        assert_problem(await ask(service, "POST", "/score", bearer("sluice_1_2")), 401)
    file.write_bytes(good)
    keys.revoke(file, "infer")
    assert_problem(await ask(service, "POST", "/score", bearer(SECRETS["infer"])), 401)


async def test_a_key_ends_on_its_day(service: Running, file: Path) -> None:
    soon = keys.create(file, "soon", ["infer"], expires=datetime.now(UTC) + timedelta(hours=1))
    assert (await ask(service, "POST", "/score", bearer(soon))).status_code == 200
    document = json.loads(file.read_text())
    document["keys"][-1]["expires"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    file.write_text(json.dumps(document))
    os.utime(file, ns=(1, 1))
    assert "expired" in assert_problem(await ask(service, "POST", "/score", bearer(soon)), 401)["detail"]


async def test_scrypt_runs_once_for_a_key_and_never_for_a_wrong_one(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []
    original = keys._scrypt

    def counted(secret: str, salt: bytes) -> str:
        checked.append(secret)
        return original(secret, salt)

    monkeypatch.setattr(keys, "_scrypt", counted)
    right = SECRETS["read"]
    answers = await asyncio.gather(*(service.http.get("/models", headers=bearer(right)) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    number, _ = keys.parts(right) or ("", "")
    for _ in range(5):
        assert_problem(await service.http.get("/models", headers=bearer(f"sluice_{number}_wrong")), 401)
    assert len(checked) == 1


async def test_requests_at_once_are_bounded_by_key(service: Running, file: Path) -> None:
    few = keys.create(file, "few", ["infer"], concurrent=2)
    running_on = [
        asyncio.create_task(service.http.post("/inpaint?steps=1000000", headers=bearer(few), **multipart(images(1)[0])))
        for _ in range(2)
    ]
    await until(lambda: service.jobs == 2)
    answer = await ask(service, "POST", "/score", bearer(few))
    assert "2 requests at once" in assert_problem(answer, 429)["detail"]
    assert answer.headers["retry-after"] == "1"
    assert (await ask(service, "POST", "/score", bearer(SECRETS["infer"]))).status_code == 200
    for task in running_on:
        task.cancel()
    await until(lambda: service.jobs == 0)
    assert (await ask(service, "POST", "/score", bearer(few))).status_code == 200


async def test_work_in_a_minute_is_bounded_by_key(service: Running, file: Path) -> None:
    slow = keys.create(file, "slow", ["infer"], item_ticks_per_minute=3)
    statuses = [(await ask(service, "POST", "/score", bearer(slow))).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]  # 3 item-ticks, of which the second request overdraws one
    answer = await ask(service, "POST", "/score", bearer(slow))
    assert "3 item-ticks a minute" in assert_problem(answer, 429)["detail"]
    assert 20 <= int(answer.headers["retry-after"]) <= 41
    assert (await ask(service, "POST", "/score", bearer(SECRETS["infer"]))).status_code == 200
    assert service.waiting == 0


async def test_a_task_counts_for_its_key(service: Running, file: Path) -> None:
    few = keys.create(file, "few", ["infer"], concurrent=1)
    put = await service.http.put("/inpaint/mine?steps=1000000", headers=bearer(few), **multipart(images(1)[0]))
    assert put.status_code == 202
    assert_problem(await ask(service, "POST", "/score", bearer(few)), 429)
    assert (await service.http.delete("/inpaint/mine", headers=bearer(few))).status_code == 202
    await until(lambda: service.jobs == 0)
    assert (await ask(service, "POST", "/score", bearer(few))).status_code == 200


async def test_metrics_count_by_the_name_of_the_key(service: Running) -> None:
    await ask(service, "POST", "/score", bearer(SECRETS["infer"]))
    await ask(service, "GET", "/models", bearer(SECRETS["infer"]))
    text = (await service.http.get("/metrics", headers=bearer(SECRETS["metrics"]))).text
    assert 'sluice_key_requests_total{key="infer",status="200"} 1.0' in text
    assert SECRETS["infer"] not in text


async def test_without_a_file_nobody_needs_a_key(store: Path) -> None:
    async with running(store) as service:
        assert (await ask(service, "POST", "/score", {})).status_code == 200
        assert (await ask(service, "POST", "/score", bearer("anything"))).status_code == 200


def test_a_key_prints_nothing_that_is_secret(file: Path) -> None:
    found: list[Key] = keys.read(file)
    assert all(SECRETS[key.name] not in repr(key) for key in found)


async def test_the_openapi_document_tells_how_a_key_is_shown(unchanged: Running) -> None:
    document = (await unchanged.http.get("/openapi.json")).json()
    assert set(document["components"]["securitySchemes"]) >= {"BearerKey", "HeaderKey"}
    score, live = document["paths"]["/score"]["post"], document["paths"]["/health/live"]["get"]
    assert {"BearerKey": []} in score["security"]
    assert {"401", "403"} <= set(score["responses"])
    assert "security" not in live
