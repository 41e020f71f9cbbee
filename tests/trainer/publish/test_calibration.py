"""What is published with a model, measured with a flow on one device and items on another."""

from __future__ import annotations

import torch

import flows
from flows.anomaly import Calibration
from tests.flows.pretended_device import DEVICE, PretendedDevice
from trainer.publish.calibration import calibration_evidence
from trainer.publish.initial_draws import initial_draws
from trainer.publish.map_calibration import map_evidence
from trainer.report import verdict_pictures
from trainer.report.own_samples import OwnSamples


def test_verdicts_and_maps_are_calibrated_by_a_flow_on_the_device() -> None:
    torch.manual_seed(0)
    flow = flows.lattice((8, 8), width=8, blocks=1, components=2, joint=True).requires_grad_(False)
    held_out, fresh = torch.randint(0, 256, (2, 90, 8, 8), dtype=torch.uint8)
    with PretendedDevice([*flow.parameters(), *flow.buffers()]):
        assert flow.device == DEVICE
        evidence = calibration_evidence(flow, held_out, fresh, "noise")
        maps = map_evidence(flow, held_out, "noise")
        assert evidence is not None
        assert maps is not None
        assert isinstance(evidence.calibration, Calibration)
        assert all(0 <= found["auroc"] <= 1 for found in evidence.detection.values())
        assert OwnSamples.of(flow, evidence.calibration, 0, 20).alarms is not None
        assert verdict_pictures.map_example(flow, maps.calibration, fresh)
        kept = [*evidence.calibration.tensors().values(), *maps.calibration.tensors().values()]
        assert {each.device.type for each in kept} == {"cpu"}
        assert initial_draws(flow) is not None
