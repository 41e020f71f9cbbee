"""What every peer does with a picture, so that only the serving differs: Sluice's own flow, Pillow, one seed."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image

import flows

WEIGHTS_VARIABLE = "BENCH_WEIGHTS"
"""Names the safetensors file with the weights."""
LARGEST_BATCH = 128
"""Rows that a peer may batch: all that the largest number of connections sends at once."""
PATIENCE = 0.002
"""Seconds for which a peer that waits for company waits, where it can be told."""
_SEED = 0


class Model:
    """The benchmark's NICE: pixels (B, 28, 28) uint8 to nats (B,)."""

    def __init__(self) -> None:
        self._flow = flows.nice((28, 28))
        self._flow.load_state_dict(safetensors.torch.load_file(Path(os.environ[WEIGHTS_VARIABLE])))
        self._flow.eval().requires_grad_(False)

    @torch.inference_mode()
    def log_likelihood(self, pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[float]:
        items = torch.from_numpy(np.stack(list(pixels)))
        found: list[float] = self._flow.log_prob(self._flow.to_continuous(items, _SEED)).tolist()
        return found


def decode(png: bytes) -> NDArray[np.uint8]:
    """The body of a request -> pixels (28, 28)."""
    return np.asarray(Image.open(io.BytesIO(png)))
