"""The client's benchmark against a real service, and the ratios that it reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench import client as bench
from tests.service.helpers import publish_calibrated
from tests.service.servers import serving


def test_each_way_scores_all_rows_in_each_round(tmp_path: Path) -> None:
    publish_calibrated(tmp_path / "store", "moons", (2,))
    points = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    with serving(tmp_path / "store", tmp_path / "log") as server:
        measured = bench.measure(server.address, points, rounds=2)
    assert list(measured) == [bench.BY_HAND, bench.WITH_JSON, bench.CLIENT]
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in measured.values())


def test_a_share_is_that_of_one_round() -> None:
    seconds = {bench.BY_HAND: [1.0, 4.0, 1.0], bench.WITH_JSON: [2.0, 8.0, 2.0], bench.CLIENT: [2.0, 4.0, 1.0]}
    lines = bench.report(seconds, rows=100).splitlines()
    assert lines[2] == "| npy by hand | 100 | 1.00 (0.50 to 1.00) |"
    assert lines[3] == "| npy and JSON by hand | 50 | 2.00 (1.00 to 2.00) |"
    assert lines[4] == "| client | 50 |  |"
