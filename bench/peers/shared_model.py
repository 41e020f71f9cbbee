"""What every peer does with a picture: decode it with Pillow and score it with Sluice's flow under one seed."""

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
"""The environment variable with the path of the weights, a safetensors file."""
LARGEST_BATCH = 128
"""Rows of a peer's largest batch: what the largest number of connections sends at once."""
PATIENCE = 0.002
"""Seconds for which a peer waits to fill a batch, where that can be set."""
_SEED = 0


class Model:
    """The NICE flow of the benchmark, in float32."""

    def __init__(self) -> None:
        self._flow = flows.nice((28, 28))
        self._flow.load_state_dict(safetensors.torch.load_file(Path(os.environ[WEIGHTS_VARIABLE])))
        self._flow.eval().requires_grad_(False)

    @torch.inference_mode()
    def log_likelihood(self, pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[float]:
        """Pixels (B, 28, 28) uint8 to nats (B,)."""
        items = torch.from_numpy(np.stack(list(pixels)))
        found: list[float] = self._flow.log_prob(self._flow.to_continuous(items, _SEED)).tolist()
        return found


def decode(png: bytes) -> NDArray[np.uint8]:
    """A PNG to pixels (28, 28)."""
    return np.asarray(Image.open(io.BytesIO(png)))
