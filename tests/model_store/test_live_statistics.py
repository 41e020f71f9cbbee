"""Files of live statistics: days that are joined into one sample, and files that are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.files import DamagedFile
from model_store.live_statistics import LiveDay, day_to_bytes, folder_of, live_sample, read_day

CALIBRATION = "a" * 64


def day(seen: int, value: float, most: int = 500, calibration: str = CALIBRATION) -> LiveDay:
    """What is kept of a day whose items all have the same measures."""
    draws = torch.rand(seen, generator=torch.Generator().manual_seed(seen), dtype=torch.float64).sort().values[:most]
    n = len(draws)
    return LiveDay(calibration, seen, 0, torch.full((n, 3), value), torch.arange(n) % 2, draws, most)


def keep(root: Path, **days: LiveDay) -> None:
    folder = folder_of(root, "digits", 1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in days.items():
        (folder / f"{name.replace('_', '-')}.device.safetensors").write_bytes(day_to_bytes(each))


def test_a_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = day(700, 1.5)
    (tmp_path / "file").write_bytes(day_to_bytes(written))
    read = read_day(tmp_path, "file")
    assert (read.seen, read.without_measures, read.most, read.bound) == (700, 0, 500, float(written.draws[-1]))
    for part in ("measures", "members", "draws"):
        assert torch.equal(getattr(read, part), getattr(written, part))


def test_a_quiet_day_counts_no_more_than_its_items_do(tmp_path: Path) -> None:
    keep(tmp_path, **{"2026_11_20": day(400, 0.0), "2026_11_21": day(10_000, 1.0), "2026_11_22": day(5000, 2.0)})
    sample = live_sample(tmp_path, "digits", 1, CALIBRATION, most=10_000)
    assert sample is not None
    assert (sample.seen, sample.first, sample.last) == (15_400, "2026-11-20", "2026-11-22")
    rates = [int((sample.measures[:, 0] == value).sum()) / seen for value, seen in ((0, 400), (1, 10_000), (2, 5000))]
    # One of twenty items of each day: 20, 499 and 250 of them, with standard deviations of 4, 2 and 15.
    assert rates == pytest.approx([0.05, 0.05, 0.05], abs=0.04)
    assert len(sample.measures) > 700
    fewer = live_sample(tmp_path, "digits", 1, CALIBRATION, most=100)
    assert fewer is not None
    assert len(fewer.measures) == 100


def test_items_of_a_day_without_any_measures_are_told(tmp_path: Path) -> None:
    nothing = replace(day(0, 0.0), seen=7, without_measures=7)
    keep(tmp_path, **{"2026_11_20": day(40, 0.0), "2026_11_21": nothing})
    sample = live_sample(tmp_path, "digits", 1, CALIBRATION, most=1000)
    assert sample is not None
    assert (sample.seen, sample.without_measures, len(sample.measures)) == (47, 7, 40)


def test_days_before_the_first_one_and_other_calibrations_do_not_count(tmp_path: Path) -> None:
    keep(
        tmp_path, **{"2026_11_20": day(40, 0.0), "2026_11_21": day(30, 1.0), "2026_11_22": day(20, 2.0, 500, "b" * 64)}
    )
    sample = live_sample(tmp_path, "digits", 1, CALIBRATION, since="2026-11-21", most=1000)
    assert sample is not None
    assert (sample.seen, sample.measures.unique().tolist(), sample.last) == (30, [1.0], "2026-11-21")
    assert live_sample(tmp_path, "digits", 1, CALIBRATION, since="2026-11-22", most=1000) is None
    assert live_sample(tmp_path, "digits", 2, CALIBRATION, most=1000) is None


def test_days_with_other_measures_are_refused(tmp_path: Path) -> None:
    other = replace(day(30, 1.0), measures=torch.zeros(30, 4))
    keep(tmp_path, **{"2026_11_20": day(40, 0.0), "2026_11_21": other})
    with pytest.raises(DamagedFile, match="different measures"):
        live_sample(tmp_path, "digits", 1, CALIBRATION, most=1000)


GOOD = day(30, 1.0)
_HEADER = json.dumps({"__metadata__": {"facts": "{}"}}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04." * 50,
        len(_HEADER).to_bytes(8, "little") + _HEADER,
        day_to_bytes(GOOD)[:-1],
        day_to_bytes(replace(GOOD, measures=torch.full((30, 3), torch.nan))),
        day_to_bytes(replace(GOOD, measures=torch.zeros(29, 3))),
        day_to_bytes(replace(GOOD, measures=torch.zeros(30, 3, 1))),
        day_to_bytes(replace(GOOD, measures=torch.zeros(30, 65))),
        day_to_bytes(replace(GOOD, members=torch.full((30,), -1))),
        day_to_bytes(replace(GOOD, draws=GOOD.draws.flip(0))),
        day_to_bytes(replace(GOOD, draws=GOOD.draws + 1)),
        day_to_bytes(replace(GOOD, seen=29)),
        day_to_bytes(replace(GOOD, most=29)),
        day_to_bytes(GOOD).replace(b'seen\\":30', b'seen\\":-1'),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DamagedFile):
        read_day(tmp_path, "file")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(day_to_bytes(GOOD))
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(DamagedFile):
        read_day(tmp_path, "link")
