"""The simulation against what queueing theory says, and the tables that are made of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("simpy", reason="simpy comes with the extra dev")

from bench.scaling import costs, plan
from bench.scaling.costs import Costs
from bench.scaling.simulation import Ask, Moments, Outcome, Replica, poisson, simulate

FREE = Costs(0.0, 0.0, 0.0, 0.0, {"score": {1: 0.01, 2: 0.01}, "inpaint": {1: 0.01, 2: 0.01}}, max_rows=1)
"""Ticks of one row and 10 ms, and nothing else takes time."""


def one(_: random.Random) -> Ask:
    return Ask()


def every(gap: float) -> Moments:
    def moments(_: random.Random) -> Iterator[float]:
        now = 0.0
        while True:
            now += gap
            yield now

    return moments


def test_one_row_a_tick_is_the_queue_of_theory() -> None:
    # M/D/1 at utilisation r: the mean wait is r s / (2 (1 - r)). At r = 0.7 and s = 10 ms it is 11.7 ms.
    found = simulate(Replica(), FREE, poisson(70), one, 150, warm_up=5)
    waits = [took - 0.01 for took in found.took]
    assert sum(waits) / len(waits) == pytest.approx(0.7 * 0.01 / (2 * 0.3), rel=0.1)
    assert found.rate == pytest.approx(70, rel=0.05)
    assert found.busy == pytest.approx(0.7, rel=0.05)


def test_batches_form_of_what_waits() -> None:
    batched = Costs(0.0, 0.0, 0.0, 0.0, {"score": {1: 0.010, 100: 0.020}}, max_rows=100)
    found = simulate(Replica(), batched, poisson(3000), one, 2, warm_up=0.5)
    assert found.rate == pytest.approx(3000, rel=0.05)
    assert 20 < found.rows / found.ticks < 100
    assert found.quantile(0.99) < 0.05
    alone = simulate(Replica(), batched, every(0.05), one, 2)
    assert alone.quantile(0.5) == pytest.approx(0.010)
    assert alone.rows == alone.ticks


def test_the_answers_of_a_tick_wake_an_api_process_once() -> None:
    waking = Costs(0.0, 0.0, 0.0, 0.0, {"score": {1: 0.010, 100: 0.010}}, max_rows=100, api_tick=0.020)
    found = simulate(Replica(), waking, lambda _: iter([0.0, 0.001, 0.002]), one, 1)
    assert found.took == pytest.approx([0.030, 0.049, 0.048])


def test_ticks_are_late_as_the_machine_was() -> None:
    noisy = Costs(0.0, 0.0, 0.0, 0.0, {"score": {1: 0.010, 2: 0.010}}, max_rows=1, delays=(-0.005, 0.0, 0.030))
    found = simulate(Replica(), noisy, every(0.1), one, 30)
    assert {round(took, 6) for took in found.took} == {0.005, 0.010, 0.040}


def test_an_idle_device_wakes_up() -> None:
    sleepy = Costs(0.0, 0.0, 0.0, 0.0, {"score": {1: 0.010, 2: 0.010}}, max_rows=1, device_wake=0.004)
    found = simulate(Replica(), sleepy, lambda _: iter([0.1, 0.101, 0.5]), one, 1)
    assert found.took == pytest.approx([0.014, 0.023, 0.014])


def test_a_full_queue_refuses_and_the_others_are_answered() -> None:
    found = simulate(Replica(queue=10), FREE, poisson(300), one, 5, warm_up=1)
    assert found.rate == pytest.approx(100, rel=0.1)
    assert found.refused == pytest.approx(200 * 5, rel=0.1)
    assert found.quantile(1) <= 0.12


def test_two_devices_do_twice_as_much_and_one_core_does_not() -> None:
    two = simulate(Replica(devices=2), FREE, poisson(150), one, 20, warm_up=2)
    assert two.rate == pytest.approx(150, rel=0.1)
    assert two.quantile(0.5) < 0.05
    shared = simulate(Replica(devices=2, cores=1), FREE, poisson(150), one, 20, warm_up=2)
    assert shared.quantile(0.5) > 1


def test_two_services_share_the_requests_and_the_cores() -> None:
    two = simulate(Replica(services=2), FREE, poisson(150), one, 20, warm_up=2)
    assert two.rate == pytest.approx(150, rel=0.1)
    assert two.busy == pytest.approx(1.5, rel=0.1)
    assert two.quantile(0.5) < 0.05
    shared = simulate(Replica(services=2, cores=1), FREE, poisson(150), one, 20, warm_up=2)
    assert shared.quantile(0.5) > 1
    full = simulate(Replica(services=2, queue=10), FREE, poisson(300), one, 5, warm_up=1)
    assert full.rate == pytest.approx(200, rel=0.1)


def test_an_inpainting_delays_a_score_by_a_tick_at_most() -> None:
    asked = iter([Ask("inpaint", 1, 50), *[Ask()] * 10])
    found = simulate(Replica(), FREE, every(0.033), lambda _: next(asked), 0.35)
    assert len(found.took) == 9
    assert max(found.took) <= 0.02 + 1e-9
    assert min(found.inpaintings) > 0.5


def test_capacity_is_where_the_promise_breaks() -> None:
    found = plan.capacity(Replica(), FREE, plan.Mix(), 0.1)
    assert found is not None
    assert 70 < found.rate < 100
    assert found.outcome.quantile(0.99) <= 0.1
    assert plan.capacity(Replica(), FREE, plan.Mix(), 0.005) is None


def test_more_api_processes_help_until_the_device_is_full() -> None:
    slow = Costs(0.02, 0.01, 0.0, 0.0, FREE.ticks, max_rows=1)
    rates = [float(row[1]) for row in plan.api_processes(slow, plan.Mix(), 0.5, (1, 8))]
    assert rates[0] < 40
    assert 70 < rates[1] < 105


def test_a_lost_zone_is_carried_where_there_was_room() -> None:
    rows = list(plan.lost_zone(FREE, plan.Mix(), 0.2, 4))
    assert [row[:2] for row in rows[:2]] == [("50%", "75%"), ("60%", "90%")]
    assert rows[0][3] == "0.0%"
    times = [float(row[2].removesuffix(" ms")) for row in rows]
    assert times[0] < times[-1]


def test_the_second_after_a_lost_zone_is_one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Outcome] = []

    def keep(*arguments: Any, **named: Any) -> Outcome:
        found.append(simulate(*arguments, **named))
        return found[-1]

    monkeypatch.setattr(plan, "simulate", keep)
    rows = list(plan.lost_zone(FREE, plan.Mix(), 0.2, 4))
    for row, outcome in zip(rows, found[-len(rows) :], strict=True):
        assert 1.0 <= min(outcome.moments) <= max(outcome.moments) < 2.0
        assert row[2] == f"{outcome.quantile(0.99) * 1e3:.0f} ms"


def test_costs_are_read_from_the_page_and_from_a_file(tmp_path: Path) -> None:
    found = costs.of_gpu("mnist", "bfloat16")
    assert found.tick("score", 1024) == pytest.approx(12.25e-3)
    assert found.tick("score", 1024) < found.tick("score", 2000) < found.tick("score", 4096) == pytest.approx(44.45e-3)
    assert found.tick("inpaint", 1) == pytest.approx(2.978e-3)
    with pytest.raises(ValueError, match=r"gpu\.md has no figures of nothing in float32"):
        costs.of_gpu("nothing", "float32")
    found.write(tmp_path / "build/costs.json")
    assert costs.read(tmp_path / "build/costs.json") == found
