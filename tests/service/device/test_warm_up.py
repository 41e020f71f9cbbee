"""The first passes of a model, before it serves."""

from __future__ import annotations

import pytest

from tests.service.helpers import Start

pytestmark = pytest.mark.anyio


async def test_every_pass_is_warm_before_the_first_request(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.device.warm_up._SECONDS", 60.0)  # however slow the machine is today
    async with start(max_batch_rows=20) as service:
        answer = (await service.http.get("/metrics")).text.splitlines()
    rows = {line.partition(" ")[0]: float(line.rpartition(" ")[2]) for line in answer if 'model="digits@1"' in line}
    ticks = {kind: rows[f'sluice_item_ticks_total{{kind="{kind}",model="digits@1"}}'] for kind in ("sample", "inpaint")}
    assert ticks == {"sample": 1, "inpaint": 1}
    # Batches of up to 20 rows are filled up to 8, 16 or 24.
    assert rows['sluice_item_ticks_total{kind="score",model="digits@1"}'] == 8 + 16 + 20


async def test_of_a_slow_model_the_smallest_batch_alone_is_warm(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.device.warm_up._SECONDS", 0.0)
    async with start() as service:
        exposition = (await service.http.get("/metrics")).text
    assert 'sluice_item_ticks_total{kind="score",model="digits@1"} 8.0' in exposition, "the smallest batch alone"
