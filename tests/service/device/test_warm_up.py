"""The first passes of a model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.service.helpers import Running, Start

pytestmark = pytest.mark.anyio


async def scored(service: Running) -> float:
    """Rows of `digits` that went through score ticks, requests or not."""
    wanted = 'sluice_item_ticks_total{kind="score",model="digits@1"}'
    lines = (await service.http.get("/metrics")).text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted)), 0.0)


async def test_a_model_serves_after_one_pass_of_each_kind_and_each_size_follows(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.device.warm_up._SECONDS", 60.0)  # however slow the machine is today
    async with start(max_batch_rows=20) as service:
        lines = (await service.http.get("/metrics")).text.splitlines()
        for kind in ("sample", "inpaint"):
            assert f'sluice_item_ticks_total{{kind="{kind}",model="digits@1"}} 1.0' in lines
        # One row before it serves; then batches of up to 20 rows, which are filled up to 8, 16 or 24.
        await until(lambda: scored(service), lambda rows: rows == 1 + 8 + 16 + 20)


async def test_of_a_slow_model_only_the_smallest_batch_is_warmed_up(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.device.warm_up._SECONDS", 0.0)
    async with start(max_batch_rows=20) as service:
        await until(lambda: scored(service), lambda rows: rows == 1 + 8)
        await asyncio.sleep(0.1)
        assert await scored(service) == 1 + 8


async def until(ask: Callable[[], Awaitable[float]], holds: Callable[[float], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds(await ask()):
            await asyncio.sleep(0.02)
