"""What a flow says of its own samples."""

from __future__ import annotations

import pytest
import torch

import flows
from flows import Flow
from trainer.publish.calibration import calibrate
from trainer.report.own_samples import OwnSamples


@pytest.fixture(scope="module")
def flow() -> Flow:
    torch.manual_seed(0)
    flow = flows.lattice((8, 8), width=4, blocks=1, components=2)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow.eval().requires_grad_(False)


def test_a_share_alpha_of_samples_alarms_where_samples_calibrate(flow: Flow) -> None:
    ordinary = flow.to_items(flow.sample(900, torch.Generator().manual_seed(1)))
    calibration = calibrate(flow, ordinary)
    found = OwnSamples.of(flow, calibration, seed=2, count=400)
    assert found.alarms == pytest.approx(0.05, abs=0.04)
    assert "Of 400 samples at temperature 1" in found.told()
    other = OwnSamples.of(flow, calibration, seed=3, count=400)
    assert found.quality.log_likelihood == pytest.approx(
        other.quality.log_likelihood, abs=5 * (found.quality.standard_error + other.quality.standard_error)
    )


def test_items_unlike_the_samples_make_them_alarm(flow: Flow) -> None:
    flat = torch.full((900, 8, 8), 90, dtype=torch.uint8) + torch.randint(0, 4, (900, 8, 8), dtype=torch.uint8)
    assert (OwnSamples.of(flow, calibrate(flow, flat), seed=2, count=100).alarms or 0) > 0.9


def test_without_p_values_nothing_is_said_of_alarms(flow: Flow) -> None:
    found = OwnSamples.of(flow, None, seed=0, count=7)
    assert found.quality.count == 7
    assert found.alarms is None
    assert not found.told()
