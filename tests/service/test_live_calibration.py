"""Statistics that a service keeps of live traffic, and the calibration that sluice-calibrate makes of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from model_store import Store
from model_store.live_statistics import folder_of, read_day
from service import keys
from service.cli import main as sluice
from service.device import live_statistics
from tests.service.helpers import NPY, Running, npy, ordinary, running
from tests.service.tables import SCHEMA, homes, publish_homes
from trainer.commands.calibrate import main

pytestmark = pytest.mark.anyio
Calibrate = Callable[..., Result]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "drift"


@pytest.fixture
def root(calibrated_store: Path, tmp_path: Path) -> Path:
    """A copy of the store, to publish into."""
    shutil.copytree(calibrated_store, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def sluice_calibrate(tmp_path: Path, kept: Path) -> Calibrate:
    """The command, with the service's directory and a store under tmp_path."""
    places = ["--live", str(kept), "--store", f"{tmp_path}/store", "--device", "cpu"]
    return lambda *arguments: CliRunner().invoke(main, [*arguments, *places])


async def score(service: Running, items: np.ndarray, model: str = "digits", **headers: str) -> np.ndarray:
    """The p-values of items."""
    found: list[float] = []
    for part in np.array_split(items, -(-len(items) // 500)):
        answer = await service.http.post(f"/score?model={model}", content=npy(part), headers={**NPY, **headers})
        assert answer.status_code == 200, answer.text
        found += [each["p_value"] for each in answer.json()["items"]]
    return np.array(found)


def darker(items: np.ndarray) -> np.ndarray:
    return (items * 0.8).astype(np.uint8)


def settings_of(kept: Path, models: str = "digits") -> dict[str, Any]:
    return {"drift_dir": kept, "live_statistics": models}


async def test_pictures_that_have_changed_calibrate_a_version_with_as_few_false_alarms_as_promised(
    root: Path, kept: Path, sluice_calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_statistics, "DAY_ITEMS", 1001)
    flow = Store(root).load("digits", 2).flow
    async with running(root, **settings_of(kept)) as service:
        before = await score(service, darker(ordinary(flow, 1400, seed=5)))
    assert (before <= 0.05).mean() > 0.1
    result = sluice_calibrate("digits")
    assert result.exit_code == 0, result.output
    assert "published digits@3" in result.output
    async with running(root, **settings_of(kept)) as service:
        # 1,000 items calibrate, 1,000 are fresh: the rate has a standard deviation of 0.01.
        after = await score(service, darker(ordinary(flow, 1000, seed=6)))
        assert 0.01 <= (after <= 0.05).mean() <= 0.09
        assert (await service.http.get("/models/digits/drift")).json()["model"] == "digits@3"
        # What is foreign to both is still found.
        assert (await score(service, np.full((1, 8, 8), 255, np.uint8)))[0] <= 0.01
    first, second = (Store(root).load("digits", version) for version in (2, 3))
    assert second.manifest.calibration is not None
    note = second.manifest.calibration
    assert (note.live, note.reference) == (True, 1000)
    assert note.source.startswith("live traffic: statistics of 1,000 of 1,400 items that digits@2 scored on 20")
    unchanged = {file: entry for file, entry in first.manifest.files.items() if file != "calibration.safetensors"}
    assert unchanged.items() <= second.manifest.files.items(), "weights and maps stay as they are"


async def test_what_a_calibration_on_live_traffic_means_is_said(
    root: Path, kept: Path, sluice_calibrate: Calibrate
) -> None:
    flow = Store(root).load("digits", 2).flow
    async with running(root, **settings_of(kept)) as service:
        rate = (await score(service, darker(ordinary(flow, 1000, seed=5))) <= 0.05).mean()
    result = sluice_calibrate("digits", "--trim", "0.1")
    assert result.exit_code == 0, result.output
    said = result.stderr
    assert "900 of 1,000 items calibrate" in said
    assert "100 of the sample were trimmed" in said
    assert "what was faulty or foreign in this traffic counts as ordinary from now on" in said
    assert f"digits@2 flags {100 * rate:.1f} % at 0.05" in said
    assert "digits@3 flags about 14.5 % at 0.05" in said
    assert "The map of where a picture is strange still rests on" in said


async def test_trimmed_items_are_flagged_as_often_as_is_said(
    root: Path, kept: Path, sluice_calibrate: Calibrate
) -> None:
    flow = Store(root).load("digits", 2).flow
    async with running(root, **settings_of(kept)) as service:
        await score(service, ordinary(flow, 1000, seed=5))
    assert sluice_calibrate("digits", "--trim", "0.2").exit_code == 0
    async with running(root) as service:
        found = await score(service, ordinary(flow, 1000, seed=6))
    assert (found <= 0.05).mean() == pytest.approx(0.05 * 0.8 + 0.2, abs=0.08)


async def test_rows_of_a_table_calibrate_each_member_and_the_older_columns_are_no_longer_watched(
    tmp_path: Path, kept: Path, sluice_calibrate: Calibrate
) -> None:
    publish_homes(tmp_path / "store", calibrated=True, members=2)
    async with running(tmp_path / "store", **settings_of(kept, "homes")) as service:
        before = await score(service, SCHEMA.entries(homes(600, seed=1, scale=1.1)), "homes")
        assert (await service.http.get("/models/homes/drift")).json()["columns_watched"]
    assert (before <= 0.05).mean() > 0.5
    result = sluice_calibrate("homes")
    assert result.exit_code == 0, result.output
    async with running(tmp_path / "store", **settings_of(kept, "homes")) as service:
        after = await score(service, SCHEMA.entries(homes(600, seed=2, scale=1.1)), "homes")
        assert not (await service.http.get("/models/homes/drift")).json()["columns_watched"]
    assert (after <= 0.05).mean() <= 0.1
    assert 0.43 <= after.mean() <= 0.57
    model = Store(tmp_path / "store").load("homes", 2)
    assert model.calibration is not None
    assert sum(model.calibration.sizes) == 600
    assert min(model.calibration.sizes) > 240


async def test_files_go_on_after_a_restart_and_hold_neither_items_nor_keys(
    root: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_statistics, "DAY_ITEMS", 300)
    secret = keys.create(tmp_path / "keys.json", "one", ["infer", "read"])
    items = ordinary(Store(root).load("digits", 2).flow, 600, seed=5)
    for part in np.array_split(items, 2):
        async with running(root, keys_file=tmp_path / "keys.json", **settings_of(kept)) as service:
            await score(service, part, **{"x-api-key": secret})
    [file] = folder_of(kept, "digits", 2).iterdir()
    day = read_day(file.parent, file.name)
    assert (day.seen, len(day.measures), day.without_measures) == (600, 300, 0)
    assert 0.35 < day.bound < 0.65, "half of all items, whichever run they came in"
    data = file.read_bytes()
    assert len(data) < 64 * 300 + 1000
    assert not any(item.tobytes() in data for item in items)
    assert secret.encode() not in data
    assert b"one" not in data


async def test_nothing_is_kept_unless_a_setting_names_the_model(root: Path, kept: Path) -> None:
    flow = Store(root).load("digits", 2).flow
    async with running(root, drift_dir=kept) as service:
        await score(service, ordinary(flow, 64, seed=5))
    async with running(root, **settings_of(kept, "points, uncalibrated")) as service:
        await score(service, ordinary(flow, 64, seed=5))
    assert not (kept / "live").exists()


async def test_old_files_are_removed_and_files_of_another_device_stay(
    root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_statistics, "DAYS", 3)
    folder = folder_of(kept, "digits", 1)
    folder.mkdir(parents=True)
    for name in ("2020-01-01.device", "2020-01-01.other", *(f"2999-01-0{day}.device" for day in range(1, 6))):
        (folder / f"{name}.safetensors").write_bytes(b"")
    async with running(root, **settings_of(kept)) as service:
        await score(service, ordinary(service.model("digits").flow, 8, seed=5))
    left = {file.name.removesuffix(".safetensors") for file in folder.iterdir()}
    assert left == {"2020-01-01.other", "2999-01-04.device", "2999-01-05.device"}
    assert len(list(folder_of(kept, "digits", 2).iterdir())) == 1


async def test_a_damaged_file_begins_anew_and_is_told(root: Path, kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    for size in (8, 16):
        async with running(root, **settings_of(kept)) as service:
            await score(service, ordinary(service.model("digits").flow, size, seed=5))
        [file] = folder_of(kept, "digits", 2).iterdir()
        assert read_day(file.parent, file.name).seen == size
        file.write_bytes(file.read_bytes()[:-1])
    assert "begin anew" in caplog.text


async def test_a_directory_that_cannot_be_written_stops_no_request(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with running(root, **settings_of(tmp_path / "file" / "drift")) as service:
        await score(service, ordinary(service.model("digits").flow, 64, seed=5))
    assert "statistics of live traffic cannot be written" in caplog.text


def test_statistics_without_a_directory_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_LIVE_STATISTICS", "digits")
    result = CliRunner().invoke(sluice, ["serve"])
    assert result.exit_code == 1
    assert "SLUICE_LIVE_STATISTICS: statistics need a directory to be kept in: set SLUICE_DRIFT_DIR" in result.output


async def test_what_cannot_calibrate_is_said_in_one_line(root: Path, kept: Path, sluice_calibrate: Calibrate) -> None:
    kept.mkdir()
    cases: list[tuple[tuple[str, ...], int, str]] = [
        (("digits",), 1, "with SLUICE_LIVE_STATISTICS=digits and SLUICE_DRIFT_DIR="),
        (("uncalibrated",), 1, "uncalibrated@1: is not calibrated, so that nothing is kept"),
        (("digits", "--only-map"), 2, "--data, --data-dir and --only-map do not go with it"),
        (("digits", "--since", "yesterday"), 2, "does not match the format '%Y-%m-%d'"),
    ]
    for arguments, code, complaint in cases:
        result = sluice_calibrate(*arguments)
        assert (result.exit_code, "Traceback" in result.output) == (code, False), result.output
        assert complaint in result.output
    async with running(root, **settings_of(kept)) as service:
        await score(service, ordinary(service.model("digits").flow, 50, seed=5))
    assert "50 items are too few to calibrate digits@2 on; at least 60" in sluice_calibrate("digits").output
    assert "no statistics of 2999-01-01 or later" in sluice_calibrate("digits", "--since", "2999-01-01").output
    [file] = folder_of(kept, "digits", 2).iterdir()
    file.write_bytes(b"\0" * 100)
    result = sluice_calibrate("digits")
    assert result.exit_code == 1
    assert "does not hold statistics of live traffic" in result.output
    assert Store(root).versions("digits") == [1, 2]
