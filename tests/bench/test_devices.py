"""Which services are compared by how many devices they have, and how their figures become ratios."""

from __future__ import annotations

import pytest

from bench import devices


def test_one_device_process_is_compared_with_all_that_are_listed() -> None:
    alone, own_choice, several = (setup.settings for setup in devices.setups("cuda:0,cuda:1"))
    assert alone == {"devices": "cuda:0", "threads": "1"}
    assert own_choice == {"devices": "cuda:0"}
    assert several == {"devices": "cuda:0,cuda:1"}
    with pytest.raises(SystemExit):
        devices.setups("cpu")


def test_ratios_are_of_pairs_that_were_measured_together() -> None:
    assert devices.paired([20.0, 2.0, 300.0], [10.0, 1.0, 100.0]) == 2.0
