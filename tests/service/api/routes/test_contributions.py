"""POST /score of a table's model: the smallest p-value, what alpha can be reached, and contributions of columns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.service.helpers import NPY, Running, npy, running
from tests.service.tables import ROWS, publish_homes
from trainer.detector import FlowDetector

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def rows_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rows")
    FlowDetector(max_steps=20).fit(np.random.default_rng(0).normal(size=(60, 3))).save(root, "rows")
    return root


@pytest.fixture
async def rows(rows_store: Path) -> AsyncIterator[Running]:
    async with running(rows_store) as found:
        yield found


BODY: dict[str, Any] = {"content": npy(np.array([[0, 0, 0], [0, 9, 0]], np.float32)), "headers": NPY}


async def test_the_answer_tells_how_small_a_p_value_can_be(rows: Running) -> None:
    found = await rows.post_json("/score?alpha=0.05", **BODY)
    assert found["calibration_size"] == 60
    assert found["smallest_p_value"] == pytest.approx(1 / 61)
    assert found["alpha_reachable"] is True
    assert [item["anomalous"] for item in found["items"]] == [False, True]


async def test_an_alpha_below_the_smallest_p_value_gives_no_verdict_and_a_reason(rows: Running) -> None:
    found = await rows.post_json("/score?alpha=0.01", **BODY)
    assert found["alpha_reachable"] is False
    for item in found["items"]:
        assert item["anomalous"] is None
        assert "below the smallest p-value" in item["reason"]


async def test_the_columns_of_anomalous_rows_are_told_by_themselves(rows: Running) -> None:
    ordinary, anomalous = (await rows.post_json("/score?alpha=0.05", **BODY))["items"]
    assert ordinary["contributions"] is None
    first = anomalous["contributions"][0]
    assert first["column"] == "2"
    assert first["value"] == 9
    assert abs(first["expected"]) < 2
    assert len(anomalous["contributions"]) == 3


async def test_contributions_can_be_had_of_all_rows_or_of_none(rows: Running) -> None:
    for item in (await rows.post_json("/score?contributions=all", **BODY))["items"]:
        assert sorted(found["column"] for found in item["contributions"]) == ["1", "2", "3"]
        gains = [found["gain"] for found in item["contributions"]]
        assert gains == sorted(gains, reverse=True)
    for item in (await rows.post_json("/score?alpha=0.05&contributions=none", **BODY))["items"]:
        assert item["contributions"] is None


async def test_another_wish_for_contributions_is_refused(rows: Running) -> None:
    answer = await rows.http.post("/score?contributions=some", **BODY)
    assert answer.status_code == 422


async def test_the_model_tells_its_smallest_p_value_and_its_folds(rows: Running) -> None:
    found = (await rows.http.get("/models/rows")).json()["calibration"]
    assert found["smallest_p_value"] == pytest.approx(1 / 61)
    assert found["alpha_reachable"] == {"0.1": True, "0.05": True, "0.01": False}
    assert found["folds"] == 5
    assert set(found["statistics"]) == {"log_likelihood", "mixture_density", "neighbour_distance", "whitened_distance"}


async def test_rows_get_the_same_verdict_alone_and_among_others(rows: Running) -> None:
    many = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    together = await rows.post_json("/score?contributions=all", content=npy(many), headers=NPY)
    for place in (0, 17, 39):
        alone = await rows.post_json("/score?contributions=all", content=npy(many[place : place + 1]), headers=NPY)
        assert alone["items"][0] == together["items"][place]


async def test_values_are_in_the_units_of_their_columns(tmp_path: Path) -> None:
    publish_homes(tmp_path, calibrated=True)
    async with running(tmp_path) as homes:
        (item,) = (await homes.post_json("/score?contributions=all", json={"items": ROWS[:1]}))["items"]
    told = {found["column"]: found for found in item["contributions"]}
    assert {name: found["value"] for name, found in told.items()} == {
        "height": 171.5,
        "rooms": 3,
        "colour": 1,
        "sold": 19_724,
    }
    assert 150 < told["height"]["expected"] < 190
    assert 19_000 <= told["sold"]["expected"] <= 19_900
    assert told["colour"]["expected"] in (0, 1)


async def test_the_histogram_holds_every_calibrating_row(rows: Running) -> None:
    found = (await rows.http.get("/models/rows")).json()["calibration"]["histogram"]
    assert sum(found["counts"]) == 60
