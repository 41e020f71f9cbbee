"""Which services are compared by how many devices they have, and how their figures become ratios."""

from __future__ import annotations

import pytest

from bench import devices
from service.settings import Settings


def test_one_device_process_is_compared_with_all_that_are_listed() -> None:
    alone, own_choice, several = (Settings(**setup.settings) for setup in devices.setups("cuda:0,cuda:1"))  # type: ignore[arg-type]
    assert (alone.devices, alone.threads) == ("cuda:0", 1)
    assert (own_choice.devices, own_choice.threads) == ("cuda:0", None)
    assert (several.devices, several.threads) == ("cuda:0,cuda:1", None)
    with pytest.raises(SystemExit):
        devices.setups("cpu")


def test_ratios_are_of_pairs_that_were_measured_together() -> None:
    assert devices.paired([20.0, 2.0, 300.0], [10.0, 1.0, 100.0]) == 2.0
