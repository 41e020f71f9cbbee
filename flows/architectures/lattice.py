"""A lattice flow: pixels in the order of ever finer lattices, each given all those before it.

A coarse grid of pixels comes first, then the ones between, until every pixel has neighbours on all sides that are
known. Each group of pixels is coupled to those before it, hence exact and invertible, but what it is coupled to are
pixels, never latents: the flow is triangular in blocks, and twenty blocks are nearly as good as 784 single pixels, at a
fortieth of the cost of sampling. On the way to latents all groups of a level go through their net together.

The order is that of Reed, van den Oord, Kalchbrenner et al., "Parallel Multiscale Autoregressive Density Estimation",
2017 (arXiv:1703.03664); the elementwise map is Flow++'s mixture (see ``mixture``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from flows.architectures.lattice_flow import LatticeFlow
from flows.errors import ArchitectureError
from flows.flow import Flow
from flows.priors import StandardLogistic
from flows.transforms.lattice_cells import CELL, Cells, groups_by_level
from flows.transforms.lattice_level import LatticeLevel
from flows.transforms.preprocessing import Dequantise, Flatten
from flows.transforms.transform import Transform


def lattice(item_shape: Sequence[int], *, width: int = 64, blocks: int = 3, components: int = 8) -> Flow:
    """The flow of 8-bit images (H, W) or (H, W, C) whose sides are multiples of four.

    ``width`` and ``blocks`` are those of each level's residual net, ``components`` the logistics of each pixel.
    """
    if len(item_shape) not in (2, 3) or any(side % CELL for side in item_shape[:2]):
        raise ArchitectureError(
            f"item_shape must be (H, W) or (H, W, C) with sides that are multiples of {CELL}, got {tuple(item_shape)}"
        )
    cells = Cells(item_shape)
    known = torch.zeros(cells.shape, dtype=torch.bool, device="cpu")
    levels: list[Transform] = []
    for groups in groups_by_level(cells.shape):
        # The last level goes first: what it needs to know are pixels that nothing has changed yet.
        levels.insert(0, LatticeLevel(known, groups, width, blocks, components))
        known = known | groups.any(dim=0)
    latent = StandardLogistic((math.prod(item_shape),))
    return LatticeFlow(item_shape, [cells, *levels, Flatten(cells.shape)], latent, Dequantise())
