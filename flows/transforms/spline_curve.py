"""The curve of a spline coupling and its gradient: rational quadratics between knots (Durkan, Bekasov, Murray &
Papamakarios 2019, "Neural Spline Flows", arXiv:1906.04032)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

LEAST_SHARE = 1e-2
"""The least width and height of a bin, as a share of the domain.

The paper's code uses 1e-3 for this and for the slope. That gains no likelihood (measured on two spirals), and a few
couplings can then flatten a valley so far that float32 cannot invert it.
"""
LEAST_SLOPE = 1e-2
"""The least slope at a knot."""
_OFFSET = math.log(math.expm1(1 - LEAST_SLOPE))
"""Added to raw slopes: softplus(0 + offset) + least = 1."""


class Piece(NamedTuple):
    """The rational quadratic of each entry's bin. The fields have the shape of the entries, except the last three."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    """The slope at the left end."""
    right: Tensor
    """The slope at the right end."""
    knots: Tensor
    """(2, ...): the numbers of the knots at both ends."""
    softmax: Tensor
    """(2, bins, ...): the widths and the heights of all bins, before the least share is given to each."""
    raw_slopes: Tensor
    """(2, ...): what the net gave for the slopes at both ends, 0 at the ends of the domain."""

    @property
    def slope(self) -> Tensor:
        return self.height / self.width

    @property
    def excess(self) -> Tensor:
        return self.left + self.right - 2 * self.slope

    def share(self, x: Tensor) -> Tensor:
        """The share of the width that lies before x."""
        return ((x - self.x) / self.width).clamp(0, 1)

    def curve(self, xi: Tensor) -> tuple[Tensor, Tensor]:
        """The values y and log dy/dx at the shares xi of the width (eqs. 4 and 5)."""
        slope, rest = self.slope, 1 - xi
        both, square = xi * rest, xi.square()
        below = slope + (self.left + self.right - 2 * slope) * both
        y = self.y + self.height * (slope * square + self.left * both) / below
        rise = self.right * square + 2 * slope * both + self.left * rest.square()
        return y, 2 * (slope / below).log() + rise.log()

    def solve(self, above: Tensor) -> Tensor:
        """The share xi of the width at which the piece has risen by ``above`` (eqs. 6 to 8): a xi^2 + b xi + c = 0."""
        b = self.height * self.left - above * self.excess
        a = self.height * self.slope - b
        c = -self.slope * above
        root = (b.square() - 4 * a * c).clamp_min(torch.finfo(above.dtype).tiny).sqrt()
        # Two forms of the same root; each avoids cancellation for one sign of b.
        downhill = b < 0
        xi = torch.where(downhill, root - b, -2 * c) / torch.where(downhill, 2 * a, root + b)
        return xi.clamp(0, 1)


def piece_of(values: Tensor, parameters: Tensor, bound: float, *, by_height: bool = False) -> Piece:
    """The pieces that values (...) in (-bound, bound) fall into, from the net's outputs (..., 3 bins - 1) for each.

    The outputs are widths and heights of the bins (softmax) and slopes at the inner knots (softplus). ``values`` are
    positions x, or heights y.
    """
    bins = (parameters.shape[-1] + 1) // 3
    # Bins come first: along a last dimension of a few entries, softmax takes ten times as long.
    raw = parameters.movedim(-1, 0).contiguous()
    softmax = raw[: 2 * bins].reshape(2, bins, *values.shape).softmax(dim=1)
    shares = LEAST_SHARE + (1 - LEAST_SHARE * bins) * softmax
    inner = bound * (2 * shares.cumsum(dim=1)[:, :-1] - 1)
    ends = inner.new_full((2, 1, *values.shape), bound)
    positions = torch.cat([-ends, inner, ends], dim=1)
    index = (values >= inner[1 if by_height else 0]).sum(dim=0, keepdim=True)
    knots = torch.cat([index, index + 1])
    found = positions.gather(1, knots.expand(2, *knots.shape))
    flat = raw.new_zeros(1, *values.shape)
    raw_slopes = torch.cat([flat, raw[2 * bins :], flat]).gather(0, knots)
    slopes = LEAST_SLOPE + functional.softplus(raw_slopes + _OFFSET)
    slopes = torch.where((knots == 0) | (knots == bins), 1.0, slopes)
    (left_x, right_x), (left_y, right_y) = (axis.unbind() for axis in found)
    left, right = slopes.unbind()
    return Piece(left_x, left_y, right_x - left_x, right_y - left_y, left, right, knots, softmax, raw_slopes)


def spline_curve(values: Tensor, parameters: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """y = g(x) for entries x (B, ...) and parameters (B, ..., 3 bins - 1), and the sums (B,) of log dy/dx.

    Outside of (-bound, bound), and for NaN, y = x.
    """
    found: tuple[Tensor, Tensor] = _SplineCurve.apply(values, parameters, bound)  # type: ignore[no-untyped-call]
    return found


class _SplineCurve(torch.autograd.Function):
    """``spline_curve`` with a gradient that is written out.

    Training on a table of few rows spends most of its time on the operations of splines, and recorded one by one there
    are more of them.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, parameters: Tensor, bound: float) -> tuple[Tensor, Tensor]:
        inside = values.abs() < bound
        x = torch.where(inside, values, 0.0)
        piece = piece_of(x, parameters, bound)
        xi = piece.share(x)
        ctx.save_for_backward(inside, xi, *piece)
        ctx.bound = bound
        y, log_slope = piece.curve(xi)
        return torch.where(inside, y, values), torch.where(inside, log_slope, 0.0).flatten(1).sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_y: Tensor, of_log: Tensor) -> tuple[Tensor, Tensor, None]:
        inside, xi, *fields = ctx.saved_tensors
        piece = Piece(*fields)
        up = torch.where(inside, of_y, 0.0)
        log = torch.where(inside, of_log.reshape(-1, *[1] * (xi.ndim - 1)), 0.0)
        of_x, of_ends, of_slopes = _of_piece(piece, xi, up, log)
        return torch.where(inside, of_x, of_y), _of_parameters(piece, of_ends, of_slopes, ctx.bound), None


def _of_piece(piece: Piece, xi: Tensor, up: Tensor, log: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of up y + log log(dy/dx) by x (...), by the ends of the bin (2, 2, ...) and by its slopes (2, ...).

    The ends are the left ones, of x and of y, and the right ones.
    """
    rest, slope = 1 - xi, piece.slope
    both, square = xi * rest, xi.square()
    excess = piece.excess
    below = slope + excess * both
    above = slope * square + piece.left * both
    rise = piece.right * square + 2 * slope * both + piece.left * rest.square()
    by_below, by_rise = 1 / below, 1 / rise
    weight = up * piece.height * by_below.square()
    bent = 2 * both * by_below
    of_xi = weight * slope * rise + log * (
        2 * (piece.right * xi + slope * (1 - 2 * xi) - piece.left * rest) * by_rise
        - 2 * excess * (1 - 2 * xi) * by_below
    )
    of_left = weight * both * (below - above) + log * (rest.square() * by_rise - bent)
    of_right = -weight * both * above + log * (square * by_rise - bent)
    of_slope = weight * (square * below - above * (1 - 2 * both)) + log * (
        2 / slope + 2 * both * by_rise - 2 * (1 - 2 * both) * by_below
    )
    of_height = up * above * by_below + of_slope / piece.width
    of_x = of_xi / piece.width
    of_width = -(of_slope * slope + of_xi * xi) / piece.width
    ends = torch.stack([-of_x - of_width, up - of_height, of_width, of_height])
    return of_x, ends.reshape(2, 2, *of_x.shape), torch.stack([of_left, of_right])


def _of_parameters(piece: Piece, of_ends: Tensor, of_slopes: Tensor, bound: float) -> Tensor:
    """The gradient by the net's outputs (..., 3 bins - 1), from those by ends (2, 2, ...) and slopes (2, ...)."""
    softmax, knots = piece.softmax, piece.knots
    bins = softmax.shape[1]
    number = torch.arange(bins, device=softmax.device).reshape(-1, *[1] * (knots.ndim - 1))
    left, right = of_ends.mul(2 * bound * (1 - LEAST_SHARE * bins))[:, :, None]
    # An end lies where the bins before it end, and so it moves with each of them.
    of_share = left * (number < knots[0]) + right * (number <= knots[0])
    of_sizes = softmax * (of_share - (softmax * of_share).sum(dim=1, keepdim=True))
    raw = of_slopes * (piece.raw_slopes + _OFFSET).sigmoid()
    of_raw = raw.new_zeros(bins + 1, *raw.shape[1:]).scatter_(0, knots, raw)[1:-1]
    return torch.cat([of_sizes.flatten(0, 1), of_raw]).movedim(0, -1)
