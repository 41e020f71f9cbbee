"""Costs that are known are found again in the loads that they give."""

from __future__ import annotations

import pytest

from bench.scaling.fit import Load, costs_of

API, API_TICK, CLIENT, CLIENT_TICK = 3e-4, 1.2e-3, 1e-4, 4e-4
TICK, ROW, WAKE = 5e-3, 1e-4, 2e-3


def load(rate: float, rows: float) -> Load:
    tick = (TICK + ROW * rows + WAKE) / (1 + rate / rows * WAKE)  # solves tick = TICK + ROW rows + WAKE idle
    took = [0.01 + 1e-5 * place for place in range(-500, 501)]
    return Load(rate, API + API_TICK / rows, CLIENT + CLIENT_TICK / rows, tick, rows, took)


def test_costs_are_found_in_loads() -> None:
    found = costs_of([load(20, 1.0), load(80, 1.1), load(160, 1.5), load(500, 4.0)])
    assert found.api_before + found.api_after == pytest.approx(API)
    assert found.api_tick == pytest.approx(API_TICK)
    assert found.client == pytest.approx(CLIENT)
    assert found.client_tick == pytest.approx(CLIENT_TICK)
    assert found.device_wake == pytest.approx(WAKE)
    assert found.tick("score", 1) == pytest.approx(TICK + ROW)
    assert found.tick("score", 100) == pytest.approx(TICK + 100 * ROW)
    assert found.delays[0] == pytest.approx(-0.005, rel=0.01)
    assert sum(found.delays) == pytest.approx(0, abs=1e-9)


def test_no_cost_is_negative() -> None:
    cheaper = [each._replace(api=API - 1e-4 / each.rows) for each in (load(20, 1.0), load(80, 1.5), load(160, 3.0))]
    found = costs_of(cheaper)
    assert found.api_tick == 0
    assert found.api_before > 0


def test_too_few_loads_are_refused() -> None:
    with pytest.raises(ValueError, match="two loads cannot tell"):
        costs_of([load(20, 1.0), load(80, 1.1)])
