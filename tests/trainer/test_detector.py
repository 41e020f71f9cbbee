"""The scikit-learn estimator: the library's own checks, verdicts, and a way through a model store."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from model_store import Store
from tests.model_store.remote.s3_server import bucket_of, s3_server
from trainer.detector import FlowDetector
from trainer.errors import DataError


@parametrize_with_checks([FlowDetector(max_steps=1)])  # type: ignore[untyped-decorator]  # scikit-learn has no types
def test_it_passes_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def detector() -> FlowDetector:
    rows = np.random.default_rng(0).normal(size=(80, 3))
    rows[:, 2] += 100
    return FlowDetector(alpha=0.1, max_steps=30).fit(rows)


def test_far_rows_are_outliers_and_near_ones_are_not(detector: FlowDetector) -> None:
    rows = [[0.0, 0.0, 100.0], [9.0, -9.0, 90.0]]
    assert detector.predict(rows).tolist() == [1, -1]
    assert detector.p_values(rows)[1] == pytest.approx(1 / 81)
    assert (detector.decision_function(rows) >= 0).tolist() == [True, False]


def test_predictions_follow_from_p_values_and_alpha(detector: FlowDetector) -> None:
    rows = np.random.default_rng(1).normal(size=(200, 3)) * 1.5 + np.array([0, 0, 100])
    assert ((detector.p_values(rows) <= 0.1) == (detector.predict(rows) == -1)).all()


def test_the_least_p_values_are_told_apart_by_their_scores(detector: FlowDetector) -> None:
    far, farther = detector.score_samples([[9.0, -9.0, 90.0], [90.0, -90.0, 10.0]])
    assert farther < far


def test_an_alpha_that_no_p_value_reaches_finds_no_outlier(detector: FlowDetector) -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.warns(UserWarning, match=r"alpha=0.01 finds no outlier: no p-value of 30 rows is below 0.0323"):
        detector = FlowDetector(alpha=0.01, max_steps=1).fit(rows)
    assert detector.predict([[99.0, 99.0]]).tolist() == [1]


def test_numbers_that_float32_cannot_hold_are_told(detector: FlowDetector) -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match=r"X: column 1 holds 1e\+39, too large for float32; take its logarithm"):
        FlowDetector().fit(np.append(rows, [[0.0, 1e39]], axis=0))
    with pytest.warns(UserWarning, match=r"X: column 0 varies by .* around 1.7e\+09, .*; subtract its mean"):
        FlowDetector(max_steps=1).fit(rows + np.array([1.7e9, 0.0]))
    assert detector.predict([[0.0, 1e300, 100.0]]).tolist() == [-1]


def test_a_saved_detector_gives_the_same_answers(detector: FlowDetector, tmp_path: Path) -> None:
    published = detector.save(tmp_path, "rows")
    assert published.version == 1
    again = FlowDetector.load(tmp_path, "rows")
    rows = np.random.default_rng(2).normal(size=(40, 3)) + np.array([0, 0, 100])
    np.testing.assert_array_equal(again.p_values(rows), detector.p_values(rows))
    np.testing.assert_array_equal(again.predict(rows), detector.predict(rows))
    assert again.alpha == detector.alpha
    assert again.save(tmp_path, "rows").version == 2


def test_a_detector_is_saved_to_and_loaded_from_a_url(
    detector: FlowDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_STORE_CACHE", str(tmp_path / "cache"))
    url = "s3://models/store/detectors"
    with s3_server() as server, bucket_of(*server, tmp_path / "empty", monkeypatch) as bucket:
        assert detector.save(url, "rows").place == f"{url}/rows/1"
        assert "detectors/rows/1/manifest.json" in bucket.listed()
        again = FlowDetector.load(url, "rows@1")
    rows = [[0.0, 0.0, 100.0], [9.0, -9.0, 90.0]]
    assert again.p_values(rows).tolist() == detector.p_values(rows).tolist()
    assert not (tmp_path / "s3:").exists()


def test_a_loaded_detector_expects_the_columns_of_its_table_by_name(tmp_path: Path) -> None:
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 3)), columns=["length", "größe, mm", 'a "b"'])
    fitted = FlowDetector(max_steps=1).fit(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.save(tmp_path, "rows")
        loaded = FlowDetector.load(tmp_path, "rows")
        assert loaded.p_values(rows).tolist() == fitted.p_values(rows).tolist()
        loaded.save(tmp_path, "rows")
    assert loaded.feature_names_in_.tolist() == list(rows.columns)
    for version in (1, 2):
        with pytest.raises(ValueError, match="Feature names must be in the same order"):
            FlowDetector.load(tmp_path, f"rows@{version}").predict(rows[rows.columns[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        loaded.predict(rows.to_numpy())


def test_a_detector_of_rows_without_names_keeps_none(detector: FlowDetector, tmp_path: Path) -> None:
    detector.save(tmp_path, "rows")
    assert set(Store(tmp_path).manifest("rows", 1).provenance) == {"estimator", "alpha", "seed"}
    assert not hasattr(FlowDetector.load(tmp_path, "rows"), "feature_names_in_")


def test_a_loaded_detector_that_keeps_no_rows_can_be_saved(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2))
    FlowDetector(max_steps=5, neighbours=False).fit(rows).save(tmp_path, "rows")
    loaded = FlowDetector.load(tmp_path, "rows")
    assert loaded.save(tmp_path, "rows").version == 2
    np.testing.assert_array_equal(FlowDetector.load(tmp_path, "rows@2").p_values(rows), loaded.p_values(rows))


def test_rows_are_drawn_in_the_units_of_the_table(detector: FlowDetector) -> None:
    drawn = detector.sample(500)
    assert drawn.shape == (500, 3)
    assert drawn.mean(axis=0) == pytest.approx([0, 0, 100], abs=0.5)


def test_contributions_name_the_column_at_fault(detector: FlowDetector) -> None:
    gain, expected = detector.contributions([[0.0, 6.0, 100.0]])
    assert gain.argmax() == 1
    assert abs(expected[0, 1]) < 1.5


def test_missing_values_are_taken_in_training_and_in_scoring(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    rows[:, 2] = rows[:, 0] + 0.1 * rows[:, 2]
    rows[::4, 1] = rows[::5, 2] = np.nan
    detector = FlowDetector(max_steps=30).fit(rows)
    tested = [[0.0, np.nan, 0.0], [np.nan, np.nan, 9.0], [5.0, 0.0, -5.0]]
    p_values = detector.p_values(tested)
    assert p_values[0] > 0.1
    assert p_values[1:] == pytest.approx([1 / 61] * 2)
    assert np.isfinite(detector.contributions(tested)[0]).all()
    detector.save(tmp_path, "gaps")
    assert FlowDetector.load(tmp_path, "gaps").p_values(tested).tolist() == p_values.tolist()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="minimum of 10"):
        FlowDetector().fit(np.zeros((5, 3)))


def test_a_model_without_a_calibration_of_rows_is_no_detector() -> None:
    from model_store import default_root

    with pytest.raises(DataError, match="no calibration of rows"):
        FlowDetector.load(default_root(), "moons-nice")


@pytest.mark.parametrize("value", [4.0, np.nan])
def test_rows_that_are_all_the_same_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="all rows are the same"):
        FlowDetector(max_steps=1).fit(np.stack([np.full(60, value), np.full(60, 2.0)], axis=1))


@pytest.mark.filterwarnings("ignore")
def test_one_row_far_from_the_others_does_not_end_a_fit() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 3))
    rows[7] = 1e6
    p_values = FlowDetector(max_steps=20).fit(rows).p_values(rows)
    assert np.isfinite(p_values).all()
    assert p_values[7] == p_values.min()
