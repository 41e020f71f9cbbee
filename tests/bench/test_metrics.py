"""Series are found by name and label in what a service exposes."""

from __future__ import annotations

from bench.side_by_side.metrics import value

EXPOSED = """# TYPE sluice_tick_seconds histogram
sluice_tick_seconds_count{kind="score"} 12.0
sluice_tick_seconds_count{kind="inpaint"} 40.0
sluice_tick_seconds_sum{kind="inpaint"} 1.25
sluice_queue_jobs 3.0
"""


def test_value_is_that_of_its_series() -> None:
    assert value(EXPOSED, "sluice_tick_seconds_count", 'kind="inpaint"') == 40.0
    assert value(EXPOSED, "sluice_tick_seconds_sum", 'kind="inpaint"') == 1.25
    assert value(EXPOSED, "sluice_queue_jobs") == 3.0


def test_series_of_one_name_and_label_are_added_up() -> None:
    exposed = (
        'sluice_tick_seconds_count{kind="score",model="a"} 2\nsluice_tick_seconds_count{kind="score",model="b"} 3\n'
    )
    assert value(exposed, "sluice_tick_seconds_count", 'kind="score"') == 5.0


def test_a_series_that_nothing_has_counted_yet_is_zero() -> None:
    assert value(EXPOSED, "sluice_tick_seconds_count", 'kind="sample"') == 0.0
