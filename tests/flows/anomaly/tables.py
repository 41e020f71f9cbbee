"""Tables of made-up statistics."""

from __future__ import annotations

import torch
from torch import Tensor


def table(rows: int, columns: int, seed: int) -> Tensor:
    """A table (rows, columns) with correlated and skewed columns, like real statistics."""
    draws = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    draws[:, 0] += 0.8 * draws[:, -1]
    return draws.exp()
