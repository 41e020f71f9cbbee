"""A linear guess of a pixel from the known pixels around it and from its own colours before."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_MARGIN = 0.02
"""What black and white are moved inwards, so that their logits are finite."""
_SLOWER = 0.1
"""Of a weight's change, what an optimiser's step makes: an error in each of some hundred weights adds up."""
_NEAREST = 1.1
"""Known pixels up to this multiple of the distance of the nearest one share the initial weight."""


class Interpolation(nn.Module):
    """Logits of pixels, guessed as weighted sums of logits of known pixels: (B, P colours, H, W).

    A net that computes in bfloat16 can hardly copy a pixel to the last grey level, and needs thousands of steps to
    learn to. This sum is exact, and it starts as what is a good guess in photographs: the mean of the nearest known
    pixels; of a colour after the first, the colour before and the mean of the nearest differences to it. That colours
    depend on those before by a linear term of their own is due to Salimans, Karpathy, Chen & Kingma 2017, "PixelCNN++"
    (arXiv:1701.05517), section 2.2.

    ``seen`` (P, colours CELL^2, H, W) tells which pixels of the cells each place knows, where the place has the offset
    (CELL / 2, CELL / 2) in its cell; ``own`` (P, H, W) in which cells a place has pixels.
    """

    start: Tensor
    """(P colours, colours CELL^2, 3, 3): the initial weights of the pixels around, which training changes."""
    start_of_earlier: Tensor
    """(colours, colours): the same for the colours before, below the diagonal."""
    is_before: Tensor
    """(colours, colours): 1 where the second colour comes before the first."""

    def __init__(self, seen: Tensor, own: Tensor, colours: int) -> None:
        super().__init__()
        places, offsets = len(seen), seen.shape[1] // colours
        self.colours = colours
        start = torch.stack([_nearest(each[:offsets], cells) for each, cells in zip(seen, own, strict=True)])
        weights = torch.zeros(places, colours, colours, offsets, 3, 3, device="cpu")
        before = torch.zeros(colours, colours, device="cpu")
        for colour in range(colours):
            weights[:, colour, colour] = start
            if colour:
                weights[:, colour, colour - 1] = -start
                before[colour, colour - 1] = 1.0
        weights = weights.flatten(2, 3).flatten(0, 1)
        self.register_buffer("start", weights, persistent=False)
        self.register_buffer("start_of_earlier", before, persistent=False)
        self.change = nn.Parameter(torch.zeros(weights.shape))
        if colours > 1:
            self.change_of_earlier = nn.Parameter(torch.zeros(places, colours, colours))
        # A colour must not depend on itself or on later ones: what is not before it has no weight.
        self.register_buffer("is_before", torch.ones_like(before).tril(-1), persistent=False)

    def around(self, known: Tensor, places: range) -> Tensor:
        """The part of the pixels around, (P B, colours, H, W).

        ``known`` (P B, colours CELL^2, H, W), place after place, holds their logits, 0 where they are not known.
        """
        count, (rows, columns) = len(places), known.shape[2:]
        weights = (self.start + _SLOWER * self.change).reshape(-1, self.colours, *self.start.shape[1:])
        own = weights[_slice(places)].flatten(0, 1)
        grouped = known.reshape(count, -1, *known.shape[1:]).transpose(0, 1).flatten(1, 2)
        with torch.autocast(known.device.type, enabled=False):
            found = functional.conv2d(grouped, own, padding=1, groups=count)
        return found.reshape(-1, count, self.colours, rows, columns).transpose(0, 1).flatten(0, 1)

    def guess(self, around: Tensor, before: Tensor, places: range, colours: range) -> Tensor:
        """The guesses (P B, some colours, H, W), given the part of the pixels around.

        ``before`` (P B, C, H, W) holds the logits of the places' own colours before the last that is asked for.
        """
        found = around[:, colours.start : colours.stop]
        if not before.shape[1]:
            return found
        weights = self.is_before * (self.start_of_earlier + _SLOWER * self.change_of_earlier[_slice(places)])
        weights = weights[:, colours.start : colours.stop, : before.shape[1], None, None]
        each = before.reshape(len(places), -1, 1, *before.shape[1:]) * weights.unsqueeze(1)
        return found + each.sum(dim=3).flatten(0, 1)


def logits(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] as logits, finite at the ends; 0 for mid-grey."""
    return (_MARGIN + (1 - 2 * _MARGIN) * pixels).logit()


def _slice(places: range) -> slice:
    return slice(places.start, places.stop, places.step)


def _nearest(seen: Tensor, own: Tensor) -> Tensor:
    """The initial weights (CELL^2, 3, 3) of one place: its nearest known pixels share one. Zero where none is known.

    ``seen`` (CELL^2, H, W) tells what is known, ``own`` (H, W) in which cells the place has pixels. What is known of
    the neighbours of most of them counts.
    """
    offsets, rows, columns = seen.shape
    cell = round(offsets**0.5)
    around = functional.unfold(seen.float()[None], 3, padding=1).reshape(offsets, 3, 3, rows, columns)
    known = around[..., own].mean(dim=3) > 0.5
    place = torch.arange(3 * cell, device="cpu") - cell - cell // 2  # rows, or columns, from the place's own
    away = place.reshape(3, cell)
    down, right = away.T.reshape(cell, 1, 3, 1), away.T.reshape(1, cell, 1, 3)
    distance = (down.square() + right.square()).sqrt().reshape(offsets, 3, 3)
    least = torch.where(known, distance, torch.inf).min()
    chosen = known & (distance <= _NEAREST * least)
    weights: Tensor = chosen.float() / chosen.sum().clamp_min(1)
    return weights
