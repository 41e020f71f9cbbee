"""The lattice flow: an autoregressive model of pixels, in blocks, that is an exact flow.

Pixels come in the order of ever finer lattices: first a coarse grid, then the pixels between, until every pixel has
known neighbours on all sides. Each group of pixels is drawn at once, given the pixels of all groups before it. The map
to latents is therefore triangular in blocks. Sampling an MNIST digit takes one pass of a net for each of about 25
groups instead of 784 pixels; encoding takes one pass for each of five levels, since all pixels are known.

What it descends from:

- The order, and the independence of the pixels of one group: Reed, van den Oord, Kalchbrenner et al., "Parallel
  Multiscale Autoregressive Density Estimation", 2017 (arXiv:1703.03664).
- Sub-lattices of equal offset as the units of that order, with one net that serves several of them: Menick &
  Kalchbrenner, "Generating High Fidelity Images with Subscale Pixel Networks", 2019 (arXiv:1812.01608). There the
  pixels within a sub-lattice depend on each other; here they do not.
- The density of a pixel, a mixture of logistics with extra mass for black and white: Salimans, Karpathy, Chen & Kingma,
  "PixelCNN++", 2017 (arXiv:1701.05517). There the mixture is integrated over each grey level, and the tails give the
  end levels their mass; here two flat components carry that mass. With ``stepped`` the mixture is integrated
  here too, and spread evenly over each level; otherwise it stays smooth within a level.
- The distribution function of such a mixture, followed by a logit, as an invertible map: Ho, Chen, Srinivas, Duan &
  Abbeel, "Flow++", 2019 (arXiv:1902.00275). There its parameters follow from values between two couplings; here they
  always follow from pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flows.architectures.arguments import Argument, Count, Flag
from flows.architectures.lattice_flow import LatticeFlow
from flows.errors import ArchitectureError
from flows.flow import Flow
from flows.priors import StandardLogistic
from flows.transforms.lattice_cells import CELL, Cells, least_side, masks_by_level
from flows.transforms.lattice_level import LatticeLevel
from flows.transforms.preprocessing import Dequantise, Flatten
from flows.transforms.transform import Transform

ARGUMENTS: Mapping[str, Argument] = {
    "width": Count(64),
    "blocks": Count(3),
    "components": Count(8),
    "joint": Flag(False),
    "anywhere": Flag(False),
    "template": Flag(False),
    "head_layers": Count(1),
    "quartered": Count(1, most=8, nests=False),
    "interpolate": Flag(False),
    "stepped": Flag(False, shapes=False),
}


def lattice(
    item_shape: Sequence[int],
    *,
    width: int = 64,
    blocks: int = 3,
    components: int = 8,
    joint: bool = False,
    anywhere: bool = False,
    template: bool = False,
    head_layers: int = 1,
    quartered: int = 1,
    interpolate: bool = False,
    stepped: bool = False,
) -> Flow:
    """A lattice flow of 8-bit images (H, W) or (H, W, C) with sides that are multiples of 4.

    ``width`` is the number of channels and ``blocks`` the number of residual blocks of each level's net;
    ``components`` is the number of logistics in each pixel's mixture. ``joint`` says whether one pass of a net serves
    all colours of a pixel, or each colour takes a pass of its own. With ``joint``, ``head_layers`` is the number of
    layers that compute a colour's density from that pass and the pixel's colours before. ``anywhere`` says that nets do
    not know the place of a pixel: then the weights fit pictures of any size (``LatticeFlow.on_sides``). ``template``,
    of a joint flow, says that nets can be given what is usual at each place, which tells them the place of aligned
    pictures. ``quartered`` is how often the first lattice is divided, so that few pixels are drawn without a known
    neighbour (see ``groups_by_level``). ``interpolate``, of a joint flow, says that means start from a linear guess
    from the nearest known pixels (see ``Interpolation``). ``stepped`` says that densities are flat within each grey
    level, and that nets read grey levels: neither dequantisation nor rounding costs likelihood then. Raises
    ArchitectureError for other shapes, for ``template``, ``interpolate`` or more than one of ``head_layers`` without
    ``joint``, for ``joint`` of pictures of 4x4, and for more of ``quartered`` than the picture has cells for.

    >>> flow = flows.lattice((8, 8), width=8, blocks=1, components=2)
    >>> flow.to_items(flow.sample(2)).shape
    torch.Size([2, 8, 8])
    """
    if len(item_shape) not in (2, 3) or any(side % CELL for side in item_shape[:2]):
        raise ArchitectureError(
            f"item_shape must be (H, W) or (H, W, C) with sides that are multiples of {CELL}, got {tuple(item_shape)}"
        )
    if head_layers > 1 and not joint:
        raise ArchitectureError("head_layers: only a joint lattice flow has heads; set joint, or leave it at 1")
    if template and not joint:
        raise ArchitectureError("template: only a joint lattice flow takes one; set joint, or leave template out")
    if interpolate and not joint:
        raise ArchitectureError("interpolate: only a joint lattice flow does; set joint, or leave interpolate out")
    if joint and max(item_shape[:2]) == CELL:
        raise ArchitectureError(f"joint: a joint lattice flow needs pictures of more than one cell of {CELL}x{CELL}")
    cells = Cells(item_shape)
    if quartered > 1 and min(item_shape[:2]) < least_side(quartered):
        raise ArchitectureError(
            f"quartered: {quartered} divisions need sides of at least {least_side(quartered)} pixels, got "
            f"{tuple(item_shape)}"
        )
    levels: list[Transform] = []
    for known, groups in masks_by_level(cells.shape, quartered):
        # The finest level is applied first: the pixels that it reads are still unchanged then.
        level = LatticeLevel(
            known, groups, width, blocks, components, joint, anywhere, head_layers, template, interpolate, stepped
        )
        levels.insert(0, level)
    latent = StandardLogistic((math.prod(item_shape),))
    flow = LatticeFlow(item_shape, [cells, *levels, Flatten(cells.shape)], latent, Dequantise())
    flow.quartered = quartered
    return flow
