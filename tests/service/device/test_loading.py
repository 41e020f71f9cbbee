"""Loading a store: one bad model harms no other."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from model_store import LoadedModel, Store
from tests.service.helpers import DIGITS, Start, assert_problem, publish_small, until

pytestmark = pytest.mark.anyio


async def test_a_refused_model_is_listed_and_the_others_serve(tmp_path: Path, start: Start) -> None:
    for name in ("bad", "good"):
        publish_small(tmp_path, name, (8, 8))
    weights = tmp_path / "bad" / "1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    async with start(tmp_path) as service:
        listed = (await service.http.get("/models")).json()
        assert [model["name"] for model in listed["models"]] == ["good"]
        assert [(model["name"], model["version"]) for model in listed["refused"]] == [("bad", 1)]
        assert "sha256" in listed["refused"][0]["reason"]
        assert str(tmp_path) not in json.dumps(listed)
        assert (await service.http.get("/health/ready")).status_code == 200
        assert_problem(await service.http.post("/sample?model=bad"), 503, "model")
        assert (await service.http.post("/sample?model=good")).status_code == 200
    shutil.rmtree(tmp_path / "good")
    async with start(tmp_path) as service:
        problem = assert_problem(await service.http.get("/health/ready"), 503)
        assert "bad@1" in problem["detail"]
        assert (await service.http.get("/health/live")).status_code == 200


async def test_a_store_that_breaks_in_an_unforeseen_way_loses_that_model_alone(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good"):
        publish_small(tmp_path, name, DIGITS)
    original = Store.load

    def load(self: Store, name: str, *arguments: Any, **options: Any) -> LoadedModel:
        if name == "bad":
            raise PermissionError(13, "not yours", "/tmp/secret")
        return original(self, name, *arguments, **options)

    monkeypatch.setattr(Store, "load", load)
    async with start(tmp_path) as service:
        listed = (await service.http.get("/models")).json()
        assert [model["name"] for model in listed["models"]] == ["good"]
        assert [(model["name"], model["version"]) for model in listed["refused"]] == [("bad", 1)]
        assert "PermissionError" in listed["refused"][0]["reason"]
        assert "secret" not in json.dumps(listed)
        assert (await service.http.post("/sample?model=good")).status_code == 200
        assert_problem(await service.http.post("/sample?model=bad"), 503, "model")


async def test_a_default_that_points_nowhere_falls_back_to_the_newest_version(tmp_path: Path, start: Start) -> None:
    for name in ("bad", "good"):
        publish_small(tmp_path, name, DIGITS)
    (tmp_path / "bad" / "aliases.json").write_text('{"default": 9}')
    async with start(tmp_path) as service:
        listed = (await service.http.get("/models")).json()
        assert [model["reference"] for model in listed["models"]] == ["bad@1", "good@1"]
        assert (listed["refused"], listed["loading"]) == ([], [])
        assert (await service.http.post("/sample?model=bad")).status_code == 200
        assert (await service.http.post("/sample?model=good")).status_code == 200
        assert (await service.http.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"{", b"[]", b'{"default": "1"}', b'{"a b": 1}'])
async def test_aliases_that_make_no_sense_harm_no_other_model(tmp_path: Path, start: Start, content: bytes) -> None:
    for name in ("odd", "good"):
        publish_small(tmp_path, name, DIGITS)
    (tmp_path / "odd" / "aliases.json").write_bytes(content)
    async with start(tmp_path) as service:
        assert (await service.http.post("/sample?model=good")).status_code == 200
        assert (await service.http.post("/sample?model=odd")).status_code in (200, 503)
        assert (await service.http.get("/models")).json()["loading"] == []


async def test_a_store_that_cannot_be_listed_is_an_empty_one(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(self: Store) -> list[str]:
        raise PermissionError(13, "not yours")

    monkeypatch.setattr(Store, "names", names)
    async with asyncio.timeout(20), start(tmp_path) as service:
        assert (await service.http.get("/health/live")).json() == {"state": "no model"}
        assert_problem(await service.http.get("/health/ready"), 503)


async def test_a_default_that_cannot_be_read_keeps_no_model_from_serving(
    store: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default_name(self: Store) -> str:
        raise OSError("unreadable")

    monkeypatch.setattr(Store, "default_name", default_name)
    async with start() as service:
        assert (await service.http.post("/sample?model=points")).status_code == 200


async def test_the_default_is_loaded_first_and_serves_while_the_others_follow(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on, order = threading.Event(), list[str]()
    original = Store.load

    def load(self: Store, name: str, *arguments: Any, **options: Any) -> LoadedModel:
        order.append(name)
        assert len(order) == 1 or going_on.wait(20)
        return original(self, name, *arguments, **options)

    monkeypatch.setattr(Store, "load", load)
    async with start(loaded=False, default_model="points@default") as service:
        await until(lambda: service.device.catalogue.unready() is None)
        assert (await service.http.get("/health/ready")).status_code == 200
        answer = await service.http.post("/sample")
        assert answer.headers["x-sluice-model"] == "points@1"
        waiting = await service.http.post("/sample?model=digits")
        assert_problem(waiting, 503, "model")
        assert int(waiting.headers["retry-after"]) >= 1
        assert (await service.http.get("/models")).json()["loading"] == ["digits"]
        going_on.set()
        await until(lambda: not service.device.catalogue.starting)
        assert (await service.http.post("/sample?model=digits")).status_code == 200
    assert order == ["points", "digits"]


@pytest.mark.parametrize("default", ["nobody", "digits@9"])
async def test_a_default_that_is_not_there_is_told(start: Start, default: str) -> None:
    async with start(default_model=default) as service:
        problem = assert_problem(await service.http.post("/sample"), 503)
        assert default in problem["detail"]
        assert (await service.http.post("/sample?model=digits")).status_code == 200
