"""What Prometheus reads."""

from __future__ import annotations

import asyncio

import pytest

from service.protocol.messages import Unload
from tests.service.helpers import NPY, Running, Start, images, multipart, npy, until

pytestmark = pytest.mark.anyio


async def test_metrics_move(service: Running) -> None:
    value = service.metric

    async def item_ticks(kind: str, model: str = "digits@1") -> float:
        return await value("sluice_item_ticks_total", kind=kind, model=model)

    # The first pass of each model, and its smallest batch after it.
    while (warmed := await item_ticks("score")) < 1 + 8 or await item_ticks("score", "points@1") < 1 + 32:
        await asyncio.sleep(0.01)
    waits = await value("sluice_queue_wait_seconds_count", kind="score")
    await service.http.post("/score", content=npy(images(5)), headers=NPY)
    await service.http.post("/sample?n=0")
    await service.http.get("/models/nobody")
    await service.http.get("/no/such/address")
    assert await value("sluice_requests_total", route="/score", status="200") == 1
    assert await value("sluice_requests_total", route="/sample", status="422") == 1
    assert await value("sluice_requests_total", route="/models/{name}", status="404") == 1
    assert await value("sluice_requests_total", route="unknown", status="404") == 1
    assert await item_ticks("score") == warmed + 5
    assert await value("sluice_scored_items_total", model="digits@1") == 5
    assert await value("sluice_queue_wait_seconds_count", kind="score") == waits + 1
    assert await value("sluice_queue_item_ticks_bound") == service.service.settings.queue_item_ticks
    assert await value("sluice_queue_jobs") == 0
    info = {"model": "digits@1", "architecture": "nice", "prior": "logistic", "device": "cpu"}
    info["precision"] = service.model("digits").precision
    assert await value("sluice_model_info", **info) == 1
    used, total = [await value("sluice_device_memory_bytes", kind=kind) for kind in ("used", "total")]
    assert 0 < used < total
    assert await value("sluice_models_loaded") == 2
    exposition = (await service.http.get("/metrics")).text
    assert f'sluice_item_ticks_total{{kind="score",model="digits@1"}} {warmed + 5}' in exposition


async def test_what_is_refused_and_what_is_given_up_is_counted_with_its_reason(start: Start) -> None:
    async with start(queue_item_ticks=400, max_steps=10**6) as service:

        async def value(name: str, reason: str) -> float:
            return await service.metric(f"sluice_{name}_total", reason=reason)

        long = asyncio.create_task(service.http.post("/inpaint?steps=400", **multipart(images(1)[0])))
        await until(lambda: service.waiting > 300)
        assert await service.metric("sluice_queue_jobs") == 1
        await service.http.post("/score", content=npy(images(350)), headers=NPY)
        await long
        await service.http.post("/inpaint?steps=401", **multipart(images(1)[0]))
        await service.http.post("/inpaint?steps=400", headers={"X-Deadline-Ms": "1"}, **multipart(images(1)[0]))
        await service.device.ask(lambda number: Unload(number, "digits"))
        await service.http.post("/sample")
        counted = [await value("rejected", reason) for reason in ("queue_full", "too_large", "unavailable")]
        assert (counted, await value("cancelled", "deadline")) == ([1, 1, 1], 1)
