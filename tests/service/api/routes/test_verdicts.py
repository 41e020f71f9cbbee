"""POST /score on calibrated models: p-values that keep their promise through the public door."""

from __future__ import annotations

import asyncio
import math
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows import anomaly
from tests.service.helpers import (
    DETECTION,
    DIGITS,
    NPY,
    REFERENCE,
    Running,
    assert_alike,
    assert_problem,
    npy,
    ordinary,
    running,
)

pytestmark = pytest.mark.anyio

LEAST = 1 / (REFERENCE + 1)


@pytest.fixture
async def judge(calibrated_store: Path) -> AsyncIterator[Running]:
    async with running(calibrated_store) as service:
        yield service


async def score(service: Running, items: np.ndarray, query: str = "") -> Any:
    return await service.post_json(f"/score?{query}", content=npy(items), headers=NPY)


@pytest.mark.parametrize("model", ["digits", "points"])
async def test_p_values_of_2000_fresh_ordinary_items_are_uniform(judge: Running, model: str) -> None:
    flow = judge.model(model).flow
    found = await score(judge, ordinary(flow, 2000, seed=2), f"model={model}&alpha=0.1")
    p_values = np.sort([item["p_value"] for item in found["items"]])
    distance = np.abs(p_values - np.arange(1, 2001) / 2000).max()
    assert distance < 1.95 * math.sqrt(1 / 2000 + 1 / REFERENCE), "Kolmogorov-Smirnov, two samples, p < 0.001"
    alarms = np.mean([item["anomalous"] for item in found["items"]])
    assert 0.05 < alarms < 0.15
    assert found["group"]["p_value"] > 1e-3


async def test_a_foreign_set_is_found(judge: Running) -> None:
    foreign = np.random.default_rng(0).integers(0, 256, (200, *DIGITS), dtype=np.uint8) // 32 * 32
    found = await score(judge, foreign, "fdr=0.05")
    assert np.mean([item["anomalous"] for item in found["items"]]) > 0.9
    assert np.mean([item["discovery"] for item in found["items"]]) > 0.9
    assert found["group"]["anomalous"]


async def test_an_item_is_judged_alike_alone_and_in_a_batch(judge: Running) -> None:
    items = ordinary(judge.model("digits").flow, 20, seed=3)
    together = (await score(judge, items, "seed=4"))["items"]
    alone = await asyncio.gather(*(score(judge, item[None], "seed=4") for item in items))
    assert_alike([answer["items"][0] for answer in alone], together)


async def test_an_item_tells_its_statistics_test_by_test(judge: Running) -> None:
    found = await score(judge, np.zeros((1, *DIGITS), np.uint8))
    assert found["calibrated"]
    tests = found["items"][0]["tests"]
    assert {name: list(test["statistics"]) for name, test in tests.items()} == {
        test.name: list(test.reported) for test in anomaly.tests_of(judge.model("digits").flow)
    }
    assert tests["complexity"]["statistics"]["log_likelihood"] == pytest.approx(found["items"][0]["log_likelihood"])


async def test_a_model_without_calibration_gives_no_verdict_rather_than_a_guess(judge: Running) -> None:
    found = await score(judge, np.zeros((2, *DIGITS), np.uint8), "model=uncalibrated")
    assert not found["calibrated"]
    assert found["group"]["p_value"] is None
    for item in found["items"]:
        assert (item["p_value"], item["anomalous"], item["tests"]) == (None, None, {})
    assert (await judge.http.get("/models/uncalibrated")).json()["calibration"] is None


async def test_what_lies_beyond_the_model_gets_the_least_p_value_and_a_reason(judge: Running) -> None:
    items = np.array([[0.1, 0.2], [3e38, -3e38], [1e30, 0.0]], dtype=np.float32)
    near, *far = (await score(judge, items, "model=points"))["items"]
    assert near["p_value"] > LEAST
    assert near["reason"] is None
    for item in far:
        assert item["p_value"] == pytest.approx(LEAST)
    assert "not finite" in far[0]["reason"]


@pytest.mark.parametrize("query", ["alpha=0", "alpha=1", "alpha=nan", "alpha=-1", "alpha=x", "fdr=0", "fdr=1.5"])
async def test_rates_outside_the_open_unit_interval_are_refused(judge: Running, query: str) -> None:
    items = np.zeros((1, *DIGITS), np.uint8)
    answer = await judge.http.post(f"/score?{query}", content=npy(items), headers=NPY)
    assert_problem(answer, 422, query.split("=")[0])
    assert (await score(judge, items))["calibrated"]


async def test_the_model_tells_what_it_was_calibrated_on(judge: Running) -> None:
    told = (await judge.http.get("/models/digits")).json()["calibration"]
    assert (told["source"], told["fit"], told["reference"]) == ("the flow's own samples", 300, REFERENCE)
    assert all(told["statistics"].values())
    assert told["detection"] == DETECTION


async def test_anomalies_are_counted(judge: Running) -> None:
    before = await judge.metric("sluice_anomalous_items_total", model="digits@2")
    await score(judge, np.random.default_rng(0).integers(0, 256, (10, *DIGITS), dtype=np.uint8) // 32 * 32)
    assert await judge.metric("sluice_anomalous_items_total", model="digits@2") - before >= 8


async def test_the_alarms_that_ordinary_items_would_give_are_counted(judge: Running) -> None:
    before = await judge.metric("sluice_promised_alarms_total", model="digits@2")
    for alpha in (0.25, 0.05):
        await score(judge, np.zeros((10, *DIGITS), np.uint8), f"alpha={alpha}")
    assert await judge.metric("sluice_promised_alarms_total", model="digits@2") - before == pytest.approx(3)


async def test_the_histogram_of_held_out_scores_agrees_with_the_p_values(judge: Running) -> None:
    found = (await judge.http.get("/models/digits")).json()["calibration"]["histogram"]
    edges, counts = np.array(found["edges"]), np.array(found["counts"])
    assert (np.diff(edges) > 0).all()
    assert len(edges) == len(counts) + 1
    assert counts.sum() == REFERENCE
    calibration = judge.model("digits").calibration
    assert calibration is not None
    ranked = calibration.ordinary_scores.numpy()
    for place in (0, 20, len(counts) - 1):  # the share of held-out items from an edge on is the p-value there, nearly
        assert counts[place:].sum() == (ranked >= edges[place]).sum()


async def test_ten_thousand_images_are_answered_without_all_their_documents_in_memory(judge: Running) -> None:
    items = np.random.default_rng(0).integers(0, 256, (10_000, *DIGITS), dtype=np.uint8)
    await score(judge, items[:300])
    tracemalloc.start()
    try:
        answer = await judge.http.post("/score?fdr=0.1", content=npy(items), headers=NPY)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 200
    assert peak < 3 * len(answer.content), "the client's own copies are two, the documents would be five more"
    found = answer.json()
    assert len(found["items"]) == found["group"]["count"] == 10_000
    first, last = (await score(judge, items[[0, -1]], "fdr=0.1"))["items"]
    for item, alone in ((found["items"][0], first), (found["items"][-1], last)):
        assert_alike({**item, "discovery": None}, {**alone, "discovery": None})
    assert found["items"][0]["discovery"] is not None
    assert found["model"] == "digits@2"
    assert answer.headers["x-sluice-model"] == "digits@2"
