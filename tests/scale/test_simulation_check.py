"""The simulation beside one and two replicas of this machine, in short: what `make bench-scaling` does in minutes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.scaling.__main__ import main
from tests.scale.markers import LONG

pytestmark = LONG

_FIGURE = r"([\d,]+)"


@pytest.mark.timeout(400)
def test_ten_loads_are_measured_and_simulated_and_the_verdict_is_told(tmp_path: Path) -> None:
    costs = str(tmp_path / "costs.json")
    measured = CliRunner().invoke(main, ["measure", "--seconds", "5", "-o", costs])
    assert measured.exit_code == 0, measured.output
    done = CliRunner().invoke(main, ["check", "--seconds", "4", "--costs", costs])
    assert done.exit_code == 0, done.output
    rows = re.findall(rf"^\| ([12]) \| {_FIGURE} \| {_FIGURE} \| {_FIGURE} \|", done.output, re.M)
    assert [int(replicas) for replicas, *_ in rows] == [1] * 5 + [2] * 5
    for _, *figures in rows:
        offered, answered, simulated = (float(figure.replace(",", "")) for figure in figures)
        assert answered == pytest.approx(offered, rel=0.3)
        assert simulated == pytest.approx(answered, rel=0.2)
    assert re.search(r"off by at most \d+% of what was measured; 20% is allowed: \*\*(not )?met\*\*", done.output)
