"""A published model of pictures of any size: flows with random weights, calibrated by pictures of a surface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import flows
from flows.anomaly import PictureCalibration
from flows.architectures.lattice_flow import LatticeFlow
from flows.tiles import TiledDensity
from model_store import CalibrationEvidence, PicturesNote, Publication, Published, Report, publish

ARGUMENTS = {"width": 4, "blocks": 1, "components": 2, "joint": True, "anywhere": True}
COUNT, LONGEST = 42, 48
ALIGNED = 24
"""Height and width of aligned pictures."""


def surface(count: int, seed: int = 0, *, colours: int = 1, least: int = 20, most: int = 34) -> list[NDArray[np.uint8]]:
    """Ordinary pictures of several sizes: grey noise, all of it bright."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        sides = generator.integers(least, most, 2)
        found.append(generator.integers(90, 160, (*sides, *([3] if colours == 3 else [])), dtype=np.uint8))
    return found


def with_hole(item: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy with a black square at rows and columns 4 to 11."""
    copy = item.copy()
    copy[4:12, 4:12] = 0
    return copy


def publish_pictures(store: Path, name: str = "surface", *, colours: int = 1, aligned: bool = False) -> Published:
    """Publish it, the default of an empty store. An ``aligned`` model takes pictures of 24x24 alone."""
    shape = (16, 16) if colours == 1 else (16, 16, 3)
    densities = []
    for seed in range(3):
        torch.manual_seed(seed)
        flow = flows.lattice(shape, **ARGUMENTS).eval().requires_grad_(False)  # type: ignore[arg-type]
        assert isinstance(flow, LatticeFlow)
        densities.append(TiledDensity(flow))
    shortest, longest = (ALIGNED, ALIGNED) if aligned else (20, 33)
    items = surface(COUNT, colours=colours, least=shortest, most=longest + 1)
    pictures = [torch.from_numpy(item) for item in items]
    calibration = PictureCalibration.of(densities, pictures, torch.arange(COUNT) % 3, aligned=aligned)
    return publish(
        store,
        name,
        Publication(
            flow=densities[0].flow,
            architecture="lattice",
            arguments=ARGUMENTS,
            golden_items=torch.stack([picture[:16, :16] for picture in pictures[:2]]),
            report=Report(card="# A surface"),
            calibration=CalibrationEvidence(calibration=calibration, source=f"{COUNT} pictures"),
            pictures=PicturesNote(
                longest=LONGEST, bits=12, shortest_side=shortest, longest_side=longest, reductions=(1, 1)
            ),
        ),
    )
