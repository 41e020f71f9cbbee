"""Probes: what an orchestrator is told while models load, while the service drains and when the device has died."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from model_store import LoadedModel, Store
from service.device.columns import Columns
from service.device.programs import Score
from tests.service.helpers import NPY, Running, Start, assert_problem, images, npy, until

pytestmark = pytest.mark.anyio


async def test_a_dead_device_thread_is_told_by_liveness(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: Score, rows: Columns) -> Columns:
        raise torch.AcceleratorError("lost")

    assert (await service.http.get("/health/live")).status_code == 200
    monkeypatch.setattr(Score, "compute", die)
    assert_problem(await service.http.post("/score", content=npy(images(1)), headers=NPY), 503)
    assert_problem(await service.http.get("/health/live"), 503)
    assert_problem(await service.http.get("/health/ready"), 503)
    assert_problem(await service.http.post("/sample"), 503)


async def test_an_empty_store_is_alive_and_not_ready_and_told(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(tmp_path / "nowhere") as service:
        assert_problem(await service.http.get("/health/ready"), 503)
        assert_problem(await service.http.post("/sample"), 503)
        assert (await service.http.get("/health/live")).status_code == 200
    assert "the store holds no models so far (--store, SLUICE_STORE)" in caplog.messages


async def test_while_models_load_the_service_is_alive_and_not_ready(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()
    original = Store.load

    def load(self: Store, *arguments: Any, **options: Any) -> LoadedModel:
        assert going_on.wait(20)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Store, "load", load)
    async with start(loaded=False) as service:
        await until(lambda: service.device.alive)
        assert (await service.http.get("/health/live")).json() == {"state": "starting"}
        assert_problem(await service.http.get("/health/ready"), 503)
        assert_problem(await service.http.post("/sample"), 503)
        going_on.set()
        await until(lambda: service.device.catalogue.unready() is None)
        assert (await service.http.get("/health/ready")).status_code == 200


async def test_draining_is_not_ready_and_still_answers(service: Running) -> None:
    service.service.drain()
    assert_problem(await service.http.get("/health/ready"), 503)
    answer = await service.http.post("/sample")
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
