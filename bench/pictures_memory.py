"""The memory of a process that scores one colour picture of 1,024 x 1,024 pixels with its map; prints mebibytes.

A process of its own, since the system tells only the most that a process ever held. That is read from /proc: what
``getrusage`` tells begins with the memory of the process that started this one. The flows have the shape of
``sluice-train pictures`` and random weights: memory does not depend on the weights.
"""

from __future__ import annotations

import os

import torch

import flows
from bench.side_by_side.processes import peak_bytes
from flows.anomaly import PictureCalibration
from flows.anomaly.readings import readings
from flows.architectures.lattice_flow import LatticeFlow
from flows.tiles import TiledDensity
from trainer.presets.pictures import PICTURES

SIDE = 1024


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    densities = []
    for _ in range(3):
        flow = flows.lattice((64, 64, 3), **PICTURES.arguments).eval()
        assert isinstance(flow, LatticeFlow)
        densities.append(TiledDensity(flow))
    calm = [readings(torch.rand(96, 96, 3), torch.randn(96, 96), torch.rand(96, 96)) for _ in range(30)]
    calibration = PictureCalibration.of_readings(densities, calm, torch.arange(30) % 3)
    calibration.assess(torch.randint(0, 256, (SIDE, SIDE, 3), dtype=torch.uint8))
    print(peak_bytes([os.getpid()]) / 2**20)


if __name__ == "__main__":
    main()
