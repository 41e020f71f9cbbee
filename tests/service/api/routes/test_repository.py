"""POST /v2/repository/models/{name}/load and /unload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from service.cli import main
from service.device import warm_up
from service.device.columns import Columns
from service.device.programs import Sample
from tests.service.helpers import DIGITS, Running, assert_problem, images, multipart, publish_small, running, until

pytestmark = pytest.mark.anyio
TOKEN = "correct horse battery staple, and more"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of its own for each test, with one version of `digits`."""
    publish_small(tmp_path / "store", "digits", DIGITS)
    return tmp_path / "store"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return tmp_path / "token"


@pytest.fixture
async def service(store: Path, token_file: Path) -> AsyncIterator[Running]:
    async with running(store, admin_token_file=token_file, max_steps=10**6) as started:
        yield started


async def administer(
    service: Running, call: str, name: str = "digits", authorization: str | None = f"Bearer {TOKEN}"
) -> httpx.Response:
    headers: dict[bytes, bytes] = {} if authorization is None else {b"authorization": authorization.encode()}
    return await service.http.post(f"/v2/repository/models/{name}/{call}", headers=headers)


async def served(service: Running, model: str = "digits") -> str:
    answer = await service.http.post(f"/sample?model={model}")
    assert answer.status_code == 200, answer.text
    return answer.headers["x-sluice-model"]


async def test_a_new_version_serves_once_it_is_loaded(service: Running, store: Path) -> None:
    publish_small(store, "digits", DIGITS, seed=1)
    assert await served(service) == "digits@1"
    answer = await administer(service, "load")
    assert (answer.status_code, answer.json()) == (200, {"model": "digits@2"})
    assert await served(service) == await served(service, "digits@default") == "digits@2"
    assert_problem(await service.http.post("/sample?model=digits@1"), 404, "model")


async def test_a_new_name_can_be_loaded_into_a_running_service(service: Running, store: Path) -> None:
    publish_small(store, "points", (2,))
    assert_problem(await service.http.post("/sample?model=points"), 404, "model")
    assert (await administer(service, "load", "points")).status_code == 200
    assert await served(service, "points") == "points@1"


async def test_what_runs_finishes_on_the_version_it_began_with(service: Running, store: Path) -> None:
    climb = asyncio.create_task(service.http.post("/inpaint?steps=1000000", **multipart(images(1)[0])))
    await until(lambda: service.waiting > 1)
    publish_small(store, "digits", DIGITS, seed=1)
    assert (await administer(service, "load")).status_code == 200
    assert (await administer(service, "unload")).status_code == 200
    assert not climb.done()
    climb.cancel()

    publish_small(store, "digits", DIGITS, seed=2)
    assert (await administer(service, "load")).status_code == 200
    short = asyncio.create_task(service.http.post("/inpaint?steps=60", **multipart(images(1)[0])))
    await until(lambda: service.waiting > 1)
    assert (await administer(service, "unload")).status_code == 200
    assert (await short).headers["x-sluice-model"] == "digits@3"


async def test_a_refused_version_leaves_the_old_one_serving(service: Running, store: Path) -> None:
    publish_small(store, "digits", DIGITS, seed=1)
    weights = store / "digits" / "2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    problem = assert_problem(await administer(service, "load"), 422, "name")
    assert "sha256" in problem["detail"]
    assert await served(service) == await served(service, "digits@default") == "digits@1"
    assert_problem(await service.http.post("/sample?model=digits@2"), 503, "model")
    assert (await service.http.get("/models")).json()["refused"][0]["version"] == 2
    assert await service.metric("sluice_model_load_failures_total") == 1
    publish_small(store, "digits", DIGITS, seed=1)
    assert (await administer(service, "load")).json() == {"model": "digits@3"}
    assert (await service.http.get("/models")).json()["refused"] == []


async def test_a_version_that_fails_its_warm_up_is_refused(
    service: Running, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Sample.compute

    def compute(self: Sample, columns: Columns) -> Columns:
        if self.model.version == 2:
            raise ArithmeticError("at /tmp/secret")
        return original(self, columns)

    monkeypatch.setattr(Sample, "compute", compute)
    publish_small(store, "digits", DIGITS, seed=1)
    assert "ArithmeticError" in assert_problem(await administer(service, "load"), 422, "name")["detail"]
    assert await served(service) == "digits@1"


async def test_unloading_the_last_model_makes_the_service_not_ready(service: Running) -> None:
    answer = await administer(service, "unload")
    assert (answer.status_code, answer.json()) == (200, {"name": "digits"})
    assert_problem(await service.http.get("/health/ready"), 503)
    assert (await service.http.get("/health/live")).json() == {"state": "no model"}
    assert_problem(await service.http.post("/sample"), 503)
    assert_problem(await service.http.post("/sample?model=digits"), 404, "model")
    assert_problem(await administer(service, "unload"), 404, "name")
    assert (await administer(service, "load")).status_code == 200
    assert (await service.http.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("name", ["nobody", "digits@1", "..", "Digits", "%2e%2e%2fstore"])
@pytest.mark.parametrize("call", ["load", "unload"])
async def test_an_unknown_name_is_not_found(service: Running, name: str, call: str) -> None:
    answer = await administer(service, call, name)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert await served(service) == "digits@1"


@pytest.mark.parametrize("call", ["load", "unload"])
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}é", TOKEN]
)
async def test_only_the_administrator_may(service: Running, call: str, authorization: str | None) -> None:
    answer = await administer(service, call, authorization=authorization)
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert await served(service) == "digits@1"


async def test_without_a_token_nobody_may(store: Path) -> None:
    async with running(store) as service:
        for call in ("load", "unload"):
            assert_problem(await administer(service, call, authorization=None), 401)
            assert_problem(await administer(service, call, authorization=f"Bearer {TOKEN}"), 403)
        assert await served(service) == "digits@1"


async def test_loads_run_one_at_a_time_and_beside_the_event_loop(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, inside, most = warm_up.warm_up, 0, 0

    def counted(*arguments: Any) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        original(*arguments)
        inside -= 1

    monkeypatch.setattr("service.device.served_models.warm_up", counted)
    loads = [asyncio.create_task(administer(service, "load")) for _ in range(4)]
    assert await service.still_good()
    assert [answer.status_code for answer in await asyncio.gather(*loads)] == [200] * 4
    assert most == 1


@pytest.mark.parametrize("content", [None, "", " \n", "\xff\xfe", "x", "x" * 31])
def test_a_token_file_that_holds_no_token_keeps_the_service_from_starting(
    store: Path, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    result = CliRunner(env={"SLUICE_ADMIN_TOKEN_FILE": str(file)}).invoke(main, ["serve", "--store", str(store)])
    assert result.exit_code == 1
    assert "admin token file" in result.output


async def test_another_token_takes_the_place_of_the_old_one_without_a_restart(
    service: Running, token_file: Path
) -> None:
    assert (await administer(service, "load")).status_code == 200
    other = "another token of more than 32 characters"
    token_file.write_text(other)
    assert_problem(await administer(service, "load"), 401)
    assert (await administer(service, "load", authorization=f"Bearer {other}")).status_code == 200
    for unusable in ("", "short"):
        token_file.write_text(unusable)
        for token in (unusable or "none", other):
            assert_problem(await administer(service, "load", authorization=f"Bearer {token}"), 503)
    token_file.unlink()
    assert_problem(await administer(service, "load", authorization=f"Bearer {other}"), 503)
    assert_problem(await administer(service, "load", authorization=None), 401)
    token_file.write_text(f"{TOKEN}\n")
    assert (await administer(service, "load")).status_code == 200
