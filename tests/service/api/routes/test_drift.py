"""GET /models/{name}/drift, and what /metrics tells of it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows import anomaly, build
from model_store import CalibrationEvidence, Publication, publish
from service import keys
from tests.service.helpers import NPY, Running, assert_problem, npy, ordinary, running, until
from tests.service.pictures import publish_pictures
from tests.service.tables import CSV, SCHEMA, homes

pytestmark = pytest.mark.anyio


async def score(service: Running, items: np.ndarray, model: str = "digits", **headers: str) -> None:
    """Score items, and wait until they have been watched."""
    for part in np.array_split(items, -(-len(items) // 500)):
        url = f"/score?model={model}"
        answer = await service.http.post(url, content=npy(part), headers={**NPY, **headers})
        assert answer.status_code == 200, answer.text
    await until(lambda: not service.loop.drift.waits)


async def drift_of(service: Running, model: str = "digits", **headers: str) -> Any:
    answer = await service.http.get(f"/models/{model}/drift", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_change_raises_an_alarm_that_says_what_moved_and_since_when(calibrated_store: Path) -> None:
    async with running(calibrated_store) as service:
        before = await drift_of(service)
        assert (before["alarm"], before["keys"], before["summary"]) == (
            False, [], "No block of items has been scored yet.",
        )  # fmt: skip
        items = ordinary(service.model("digits").flow, 1280, seed=5)
        await score(service, items)
        told = await drift_of(service)
        assert (told["model"], told["alarm"], told["moved"]) == ("digits@2", False, [])
        assert "No change is proved: 1,280 items since" in told["summary"]
        await score(service, (items[:512] * 0.8).astype(np.uint8))
        told = await drift_of(service)
        assert told["alarm"]
        assert told["summary"].startswith("The items have changed.")
        assert any("items are stranger than the calibrating ones" in each for each in told["moved"])
        assert all("where" in each and "items since 20" in each for each in told["moved"])
        [everyone] = told["keys"]
        assert (everyone["key"], everyone["items"]) == (None, 1792)
        assert {each["series"] for each in everyone["series"]} == {"verdict", "test"}
        clearest = max(everyone["series"], key=lambda each: float(each["log10_evidence"]))
        assert 512 <= clearest["items_since"] <= 512 + 192
        assert sum(clearest["shares"]) == pytest.approx(1)
        assert sum(clearest["expected"]) == pytest.approx(1)


async def test_metrics_tell_the_p_values_and_the_evidence(calibrated_store: Path) -> None:
    async with running(calibrated_store) as service:
        await score(service, ordinary(service.model("digits").flow, 320, seed=5))
        assert await service.metric("sluice_p_values_count", model="digits@2", key="") == 320
        low = await service.metric("sluice_p_values_bucket", model="digits@2", key="", le="0.1")
        assert 10 <= low <= 65
        assert await service.metric("sluice_p_values_bucket", model="digits@2", key="", le="+Inf") == 320
        names = [test.name for test in service.model("digits").calibration.tests]  # type: ignore[union-attr]
        told = (await service.http.get("/metrics")).text
        for sort, name in [("overall", ""), ("verdict", "all tests"), *(("test", name) for name in names)]:
            labels = f'{{key="",model="digits@2",name="{name}",series="{sort}"}}'
            value = re.search(f"^sluice_drift_log10_evidence{re.escape(labels)} (.+)$", told, re.MULTILINE)
            assert value is not None, labels
            assert -5 < float(value[1]) < 2


async def test_only_requests_that_are_answered_count_and_only_those(calibrated_store: Path) -> None:
    async with running(calibrated_store) as service:
        await score(service, ordinary(service.model("digits").flow, 63, seed=5))
        assert await service.metric("sluice_p_values_count", model="digits@2", key="") == 0  # warm-up is not counted
        await score(service, ordinary(service.model("digits").flow, 1, seed=6))
        assert await service.metric("sluice_p_values_count", model="digits@2", key="") == 64


async def test_an_uncalibrated_model_says_that_it_has_nothing_to_watch(calibrated_store: Path) -> None:
    async with running(calibrated_store) as service:
        told = await drift_of(service, "uncalibrated")
        assert "not calibrated" in told["summary"]
        assert_problem(await service.http.get("/models/nobody/drift"), 404, "model")


async def test_a_model_of_pictures_of_any_size_says_that_it_is_not_watched(tmp_path: Path) -> None:
    publish_pictures(tmp_path)
    async with running(tmp_path) as service:
        told = await drift_of(service, "surface")
    assert told["summary"] == "Models that score pictures of any size are not watched."
    assert told["alarm"] is False


async def test_with_a_directory_the_martingales_go_on_after_a_restart(calibrated_store: Path, tmp_path: Path) -> None:
    items = None
    for kept, expected in ((tmp_path / "drift", 256), (None, 128)):
        for _ in range(2):
            async with running(calibrated_store, drift_dir=kept) as service:
                items = ordinary(service.model("digits").flow, 128, seed=5)
                await score(service, items)
                told = await drift_of(service)
        assert told["keys"][0]["items"] == expected
    assert items is not None
    [file] = (tmp_path / "drift").iterdir()
    assert items[0].tobytes() not in file.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"\x80", b"\xc1" * 100], ids=["empty", "no document", "no msgpack"])
async def test_a_damaged_state_is_told_and_begins_anew(
    calibrated_store: Path, tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "drift-device.msgpack").write_bytes(damage)
    async with running(calibrated_store, drift_dir=tmp_path) as service:
        await score(service, ordinary(service.model("digits").flow, 64, seed=5))
        assert (await drift_of(service))["keys"][0]["items"] == 64
    assert "begins anew" in caplog.text


async def test_a_directory_that_cannot_be_written_stops_no_request(
    calibrated_store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with running(calibrated_store, drift_dir=tmp_path / "file" / "drift") as service:
        await score(service, ordinary(service.model("digits").flow, 64, seed=5))
    assert "cannot be" in caplog.text


async def test_a_key_sees_all_requests_together_and_its_own(calibrated_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    one, other = keys.create(file, "one", ["infer", "read"]), keys.create(file, "other", ["infer", "read"])
    watcher = keys.create(file, "watcher", ["read", "metrics"])
    async with running(calibrated_store, keys_file=file) as service:
        items = ordinary(service.model("digits").flow, 128, seed=5)
        for key in (one, other):
            await score(service, items, **{"x-api-key": key})
        seen = {}
        for name, key in (("one", one), ("watcher", watcher)):
            told = await drift_of(service, **{"x-api-key": key})
            seen[name] = {each["key"]: each["items"] for each in told["keys"]}
        metrics = (await service.http.get("/metrics", headers={"x-api-key": watcher})).text
        for name, items_of in (("", 256), ("one", 128), ("other", 128)):
            assert f'sluice_p_values_count{{key="{name}",model="digits@2"}} {items_of}.0' in metrics
    assert seen == {"one": {None: 256, "one": 128}, "watcher": {None: 256, "one": 128, "other": 128}}


@pytest.fixture(scope="module")
def table_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`homes`, a table with split-conformal p-values that keep 200 rows, and with two members `crossed`."""
    root = tmp_path_factory.mktemp("tables")
    rows = torch.from_numpy(SCHEMA.entries(homes(500, seed=0)))
    arguments = {"hidden": [8], "couplings": 2, "steps": SCHEMA.resolutions, "levels": SCHEMA.levels}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = build("table", (4,), arguments)
    flow.fit_completion(rows)
    flow.initialise(flow.to_continuous(rows))
    points = flow.to_continuous(rows).detach()
    folds = torch.zeros(500, dtype=torch.long)
    folds[:200] = anomaly.UNSEEN
    for name, members, dealt in (("homes", 1, folds), ("crossed", 2, torch.arange(500) % 2)):
        flows = [copy.deepcopy(flow) for _ in range(members)]
        calibration = anomaly.CrossCalibration.of(flows, points, dealt, kept=200)
        evidence = CalibrationEvidence(calibration=calibration, source="rows of the test")
        made = Publication(
            flow=flow,
            architecture="table",
            arguments=arguments,
            golden_items=rows[:4],
            table=SCHEMA,
            calibration=evidence,
        )
        publish(root, name, made)
    return root


@pytest.mark.parametrize("name", ["homes", "crossed"])
async def test_a_column_that_moves_is_named_with_its_direction(table_store: Path, name: str) -> None:
    async with running(table_store) as service:
        await score(service, homes(640, seed=1), name)
        told = await drift_of(service, name)
        assert (told["alarm"], told["columns_watched"]) == (False, True), told["moved"]
        await score(service, homes(320, seed=2, scale=1.1), name)
        told = await drift_of(service, name)
        assert told["alarm"]
        assert any(each.startswith("Column height: values are larger.") for each in told["moved"])
        moved = " ".join(told["moved"])
        assert not any(f"Column {other}" in moved for other in ("rooms", "colour", "sold"))


async def test_of_a_missing_cell_what_is_drawn_for_it_counts(table_store: Path) -> None:
    lines = "height,rooms,colour,sold\n" + "171.5,,red,2024-01-02\n" * 64
    async with running(table_store) as service:
        answer = await service.http.post("/score?model=homes", content=lines, headers=CSV)
        assert answer.status_code == 200, answer.text
        await until(lambda: not service.loop.drift.waits)
        [everyone] = (await drift_of(service, "homes"))["keys"]
        items = {each["name"]: each["items"] for each in everyone["series"] if each["series"] == "column"}
        assert items == {"height": 64, "rooms": 64, "colour": 64, "sold": 64}
