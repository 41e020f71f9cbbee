"""The splits and figures of the benchmark on tables."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.tables import large, peers_code
from bench.tables.__main__ import lines_of
from bench.tables.figures import NOTHING, pooled_band, report
from bench.tables.jobs import jobs_of
from bench.tables.large import report as large_report
from bench.tables.splits import auroc, nearest_with_medians, split, swapped, with_gaps


def line(table: str, seed: int, **figures: float) -> dict[str, object]:
    ours = {"auroc": 0.9, "auroc_score": 0.91, "auroc_likelihood": 0.88, "seconds": 2.0, "rows": 50, "columns": 3}
    alarms = {"0.1": 10, "0.05": 5, "0.01": 0}
    return {"table": table, "seed": seed, "calibration": 50, "tested": 100, "alarms": alarms, **ours, **figures}


def test_auroc_counts_ties_half() -> None:
    assert auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == pytest.approx(0.875)


def test_a_split_trains_on_half_of_the_ordinary_rows_standardised() -> None:
    rows = np.random.default_rng(0).normal(5, 2, size=(100, 2))
    found = split(rows, rows[:10], seed=1)
    assert (len(found.train), len(found.ordinary), len(found.anomalous)) == (50, 50, 10)
    assert found.train.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)


def test_one_cell_of_each_row_is_that_of_another_row() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 5))
    damaged, columns = swapped(rows, seed=0)
    assert ((damaged != rows).sum(axis=1) == 1).all()
    assert (damaged != rows).argmax(axis=1).tolist() == columns.tolist()


def test_an_alpha_that_cannot_be_reached_counts_in_no_pooled_share() -> None:
    figures = "\n".join(
        report(
            [line("iris", 0), line("iris", 1, calibration=200)],
            [{"table": "iris", "seed": 0, "auroc": {"kNN": 0.8}}],
        )
    )
    assert "| 0.10 | 2 | 200 | 0.1000 |" in figures
    assert "| 0.01 | 1 | 100 | 0.0000 |" in figures
    assert "| iris | 50 | 3 | 1 | **0.900** | 0.880 | 0.800 |" in figures


def test_missing_cells_get_figures_of_their_own() -> None:
    gap = line("iris", 0, missing=0.1, auroc=0.85, auroc_nearest=0.7, auroc_nearest_whole=0.8)
    figures = "\n".join(report([line("iris", 0), gap], [{"table": "iris", "seed": 0, "auroc": {"kNN": 0.8}}]))
    assert "| 0.10 | 1 | 100 | 0.1000 |" in figures
    assert "| 10%, 0.10 | 1 | 100 | 0.1000 |" in figures
    assert "| 10% | 1 | 0.8500 | 0.0500 | 0.1000 |" in figures


def test_columns_are_counted_of_rows_that_the_swap_made_anomalous() -> None:
    found = {"alarming": 20, "alarming_by_contribution": 11, "detected": 10, "by_contribution": 9, "by_z": 3}
    figures = "\n".join(report([line("iris", 0, **found)], [{"table": "iris", "seed": 0, "auroc": {"kNN": 0.8}}]))
    assert "which are 10: in 90.0% of them" in figures
    assert "in 30.0% the greatest absolute z-score" in figures
    assert "20 in all, it is 55.0%" in figures


def test_a_share_of_the_cells_is_missing_and_never_a_whole_row() -> None:
    rows = with_gaps(np.ones((1000, 4)), 0.3, seed=0)
    assert np.isnan(rows).mean() == pytest.approx(0.3 * 3 / 4, abs=0.03)
    assert not np.isnan(rows).all(axis=1).any()


def test_medians_stand_in_for_missing_cells() -> None:
    train = np.array([[0.0, 0.0]] * 5 + [[np.nan, 1.0]] * 5)
    near, far = nearest_with_medians(train, np.array([[0.0, np.nan]]), np.array([[0.0, 9.0]]))
    assert near[0] < far[0]


def test_splits_come_in_turns_and_the_largest_tables_get_two() -> None:
    rows = {f"{name}/{kind}": np.zeros((size, 2)) for name, size in (("a", 100), ("b", 10_000)) for kind in _KINDS}
    jobs = [(name, seed, share) for name, _, _, seed, share, _ in jobs_of(rows, ["a", "b"], 4, 0.0)]
    assert jobs[:2] == [("a", 0, None), ("b", 0, None)]
    assert [job for job in jobs if job[2]] == [("a", 0, 0.02), ("a", 0, 0.1), ("a", 0, 0.3)]
    assert [seed for name, seed, share in jobs if name == "a" and share is None] == [0, 1, 2, 3]
    assert [seed for name, seed, share in jobs if name == "b"] == [0, 1]


def test_figures_of_other_code_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ours.jsonl"
    assert lines_of(path, "2") == []
    path.write_text('{"table": "a", "code": "1"}\n{"table": "b", "code": "2"}\n{"table": "b", "code": "2", "n": 1}\n')
    assert lines_of(path, "2") == [{"table": "b", "code": "2", "n": 1}]


def test_lines_from_before_there_were_hashes_are_of_the_code_of_then(tmp_path: Path) -> None:
    path = tmp_path / "peers.jsonl"
    path.write_text('{"table": "a", "n": 1}\n{"table": "b", "n": 1}\n{"table": "b", "n": 2, "code": "new"}\n')
    assert [line["n"] for line in lines_of(path, peers_code.BEFORE, peers_code.BEFORE)] == [1, 1]
    assert [line["n"] for line in lines_of(path, "new", peers_code.BEFORE)] == [2]


def test_a_report_of_nothing_says_so() -> None:
    peer = {"table": "iris", "seed": 0, "auroc": {"kNN": 0.8}}
    assert list(report([], [peer])) == [NOTHING]
    assert list(report([line("iris", 0)], [])) == [NOTHING]


def test_a_table_given_by_a_relative_path_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "_TRAIN", _TRAINER)
    monkeypatch.chdir(tmp_path)
    Path("made-up.csv").write_text("c0\n1\n")
    assert large.trained(Path("made-up.csv"), 1)["log_likelihood"] == len("c0\n1\n")


def test_a_made_up_table_is_removed_when_its_measurement_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "_TRAIN", "raise SystemExit(1)")
    monkeypatch.setattr("sys.argv", ["large", "--rows", "20", "--reading", "0", "--results", str(tmp_path)])
    with pytest.raises(subprocess.CalledProcessError):
        large.main()
    assert list(tmp_path.iterdir()) == []


def test_speed_and_memory_of_reading_and_seconds_of_training_are_told() -> None:
    read = {"kind": "read", "rows": 1000, "bytes": 90_000_000, "seconds": 0.5, "peak": 225_000_000}
    trained = {"kind": "train", "rows": 200, "minutes": None, "seconds": 7.25, "wall": 9.0}
    figures = "\n".join(large_report([read, {**trained, "log_likelihood": -15.5, "standard_error": 0.1}]))
    assert "180 MB/s" in figures
    assert "2.50 times the file" in figures
    assert "| 200 |  | 7.2 | 9.0 | -15.500 ± 0.100 | -15.388 |" in figures


def test_a_table_that_is_made_up_is_read_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "_READINGS", 1)
    large.written(tmp_path / "made-up.csv", 100)
    found = large.read(tmp_path / "made-up.csv")
    assert (found["rows"], found["seconds"] > 0, found["peak"] > 1e7) == (100, True, True)


_KINDS = ("ordinary", "anomalous")
_TRAINER = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--store") + 1], "large", "1")
folder.mkdir(parents=True)
size = len(pathlib.Path(sys.argv[sys.argv.index("--data") + 1]).read_text())
quality = {"test": {"log_likelihood": size, "standard_error": 0}}
(folder / "manifest.json").write_text(json.dumps({"quality": quality}))
"""
"""In place of the trainer: what it says of the model is the size of the file."""


def test_the_pooled_band_of_one_large_split_is_nearly_binomial() -> None:
    band = pooled_band([(1_000_000, 10_000)], 0.05)
    assert band.low == pytest.approx(0.0445, abs=5e-4)
    assert band.high == pytest.approx(0.0557, abs=5e-4)
