"""Queue, deadline, readiness and death, seen from outside."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from service.engine import Engine
from service.programs import Score
from tests.service.conftest import Running, Start, assert_problem, publish_small
from tests.service.test_inpaint import multipart
from tests.service.test_score import NPY, images, npy

pytestmark = pytest.mark.anyio


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_full_queue_answers_429_and_recovers(start: Start) -> None:
    async with start(queue_item_ticks=400) as service:
        long = asyncio.create_task(service.http.post("/inpaint?steps=400", **multipart(images(1)[0])))
        await until(lambda: service.engine.admission.waiting > 300)
        answer = await service.http.post("/score", content=npy(images(350)), headers=NPY)
        assert_problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        assert (await long).status_code == 200
        assert (await service.http.post("/score", content=npy(images(350)), headers=NPY)).status_code == 200
        assert_problem(await service.http.post("/inpaint?steps=400&n=2", **multipart(images(1)[0])), 413)


async def test_a_passed_deadline_answers_504_and_frees_the_queue(start: Start) -> None:
    async with start(max_steps=10**6) as service:
        slow = {"X-Deadline-Ms": "50"}
        answer = await service.http.post("/inpaint?steps=1000000&n=2", headers=slow, **multipart(images(1)[0]))
        assert_problem(answer, 504)
        assert service.engine.admission.waiting == 0
        assert await service.still_good()
        for wrong in ("0", "-5", "soon"):
            refused = await service.http.post("/sample", headers={"X-Deadline-Ms": wrong})
            assert_problem(refused, 422, "x-deadline-ms")
    async with start(max_steps=10**6, deadline=0.05) as service:
        later = {"X-Deadline-Ms": "60000"}
        answer = await service.http.post("/inpaint?steps=1000000&n=2", headers=later, **multipart(images(1)[0]))
        assert_problem(answer, 504)


async def test_a_score_is_answered_while_an_inpainting_climbs(start: Start) -> None:
    async with start(max_steps=10**6) as service:
        climb = asyncio.create_task(service.http.post("/inpaint?steps=1000000", **multipart(images(1)[0])))
        await until(lambda: service.engine.admission.waiting > 1)
        for _ in range(5):
            assert await service.still_good()
        assert not climb.done()
        climb.cancel()


async def test_a_model_that_fails_on_one_request_fails_it_alone(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Score.step

    def step(self: Score, rows: Any) -> Any:
        if (rows["items"].flatten(1).sum(dim=1) == 64 * 255).any():
            raise ArithmeticError("at /tmp/secret")
        return original(self, rows)

    monkeypatch.setattr(Score, "step", step)
    bodies = [torch.full((1, 8, 8), 255 if i == 7 else i, dtype=torch.uint8).numpy() for i in range(16)]
    answers = await asyncio.gather(*(service.http.post("/score", content=npy(body), headers=NPY) for body in bodies))
    for index, answer in enumerate(answers):
        if index == 7:
            assert_problem(answer, 500)
        else:
            assert answer.status_code == 200


async def test_a_dead_device_thread_is_told_by_liveness(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: Score, rows: Any) -> Any:
        raise torch.AcceleratorError("lost")

    assert (await service.http.get("/health/live")).status_code == 200
    monkeypatch.setattr(Score, "step", die)
    assert_problem(await service.http.post("/score", content=npy(images(1)), headers=NPY), 503)
    assert_problem(await service.http.get("/health/live"), 503)
    assert_problem(await service.http.get("/health/ready"), 503)
    assert_problem(await service.http.post("/sample"), 503)


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


async def test_an_empty_store_is_alive_and_not_ready(tmp_path: Path, start: Start) -> None:
    async with start(tmp_path / "nowhere") as service:
        assert_problem(await service.http.get("/health/ready"), 503)
        assert_problem(await service.http.post("/sample"), 503)
        assert (await service.http.get("/health/live")).status_code == 200


async def test_while_models_load_the_service_is_alive_and_not_ready(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as service:
        service.engine.registry.loading = True
        assert (await service.http.get("/health/live")).json() == {"state": "starting"}
        assert_problem(await service.http.get("/health/ready"), 503)
        assert_problem(await service.http.post("/sample"), 503)


async def test_draining_is_not_ready_and_still_answers(service: Running) -> None:
    service.engine.drain()
    assert_problem(await service.http.get("/health/ready"), 503)
    answer = await service.http.post("/sample")
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"


async def test_every_pass_is_warm_before_the_first_request(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine._WARM_UP", 60.0)  # however slow the machine is today
    async with start(max_batch_rows=20) as service:
        answer = (await service.http.get("/metrics")).text.splitlines()
    rows = {line.partition(" ")[0]: float(line.rpartition(" ")[2]) for line in answer if 'model="digits@1"' in line}
    ticks = {kind: rows[f'sluice_item_ticks_total{{kind="{kind}",model="digits@1"}}'] for kind in ("sample", "inpaint")}
    assert ticks == {"sample": 1, "inpaint": 1}
    # Batches of up to 20 rows are filled up to 8, 16 or 24.
    assert rows['sluice_item_ticks_total{kind="score",model="digits@1"}'] == 8 + 16 + 20


async def test_of_a_slow_model_the_smallest_batch_alone_is_warm(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine._WARM_UP", 0.0)
    async with start() as service:
        exposition = (await service.http.get("/metrics")).text
    assert 'sluice_item_ticks_total{kind="score",model="digits@1"} 8.0' in exposition, "the smallest batch alone"


async def test_metrics_move(service: Running) -> None:
    def value(name: str, **labels: str) -> float:
        return service.engine.metrics.registry.get_sample_value(name, labels) or 0.0

    def item_ticks(kind: str) -> float:
        return value("sluice_item_ticks_total", kind=kind, model="digits@1")

    warmed = item_ticks("score")
    waits = value("sluice_queue_wait_seconds_count", kind="score")
    await service.http.post("/score", content=npy(images(5)), headers=NPY)
    await service.http.post("/sample?n=0")
    await service.http.get("/models/nobody")
    await service.http.get("/no/such/address")
    assert value("sluice_requests_total", route="/score", status="200") == 1
    assert value("sluice_requests_total", route="/sample", status="422") == 1
    assert value("sluice_requests_total", route="/models/{name}", status="404") == 1
    assert value("sluice_requests_total", route="unknown", status="404") == 1
    assert item_ticks("score") == warmed + 5
    assert value("sluice_scored_items_total", model="digits@1") == 5
    assert value("sluice_queue_wait_seconds_count", kind="score") == waits + 1
    assert value("sluice_queue_item_ticks_bound") == service.engine.admission.bound
    assert value("sluice_queue_jobs") == 0
    info = {"model": "digits@1", "architecture": "nice", "prior": "logistic", "device": "cpu"}
    info["precision"] = service.engine.registry.get("digits").precision
    assert value("sluice_model_info", **info) == 1
    assert 0 < value("sluice_device_memory_bytes", kind="used") < value("sluice_device_memory_bytes", kind="total")
    assert value("sluice_models_loaded") == 2
    exposition = (await service.http.get("/metrics")).text
    assert f'sluice_item_ticks_total{{kind="score",model="digits@1"}} {warmed + 5}' in exposition


async def test_what_is_refused_and_what_is_given_up_is_counted_with_its_reason(start: Start) -> None:
    async with start(queue_item_ticks=400, max_steps=10**6) as service:

        def value(name: str, reason: str) -> float:
            return service.engine.metrics.registry.get_sample_value(f"sluice_{name}_total", {"reason": reason}) or 0.0

        long = asyncio.create_task(service.http.post("/inpaint?steps=400", **multipart(images(1)[0])))
        await until(lambda: service.engine.admission.waiting > 300)
        assert service.engine.metrics.registry.get_sample_value("sluice_queue_jobs") == 1
        await service.http.post("/score", content=npy(images(350)), headers=NPY)
        await long
        await service.http.post("/inpaint?steps=401", **multipart(images(1)[0]))
        await service.http.post("/inpaint?steps=400", headers={"X-Deadline-Ms": "1"}, **multipart(images(1)[0]))
        service.engine.registry.unload("digits")
        await service.http.post("/sample")
        counted = [value("rejected", reason) for reason in ("queue_full", "too_large", "unavailable")]
        assert (counted, value("cancelled", "deadline")) == ([1, 1, 1], 1)


async def test_unforeseen_errors_and_wrong_addresses_are_problems_too(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_problem(await service.http.get("/no/such/address"), 404)
    assert_problem(await service.http.get("/sample"), 405)

    async def broken(*_: object) -> None:
        raise RuntimeError("in /tmp/secret")

    monkeypatch.setattr(Engine, "sample", broken)
    answer: httpx.Response = await service.http.post("/sample")
    assert_problem(answer, 500)
    assert "secret" not in answer.text
