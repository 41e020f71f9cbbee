"""Rational-quadratic spline coupling (Durkan, Bekasov, Murray & Papamakarios 2019, "Neural Spline Flows",
arXiv:1906.04032): each entry passes through its own monotone curve, whose shape the net determines."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.errors import ArchitectureError
from flows.transforms.coupling import Coupling, Split

LEAST_SHARE = 1e-2
"""The least width and height of a bin, as a share of the domain.

The paper's code uses 1e-3 for this and for the slope. That gains no likelihood (measured on two spirals), and a few
couplings can then flatten a valley so far that float32 cannot invert it.
"""
LEAST_SLOPE = 1e-2
"""The least slope at a knot."""


class SplineCoupling(Coupling):
    """g(x; w, h, d): a spline of ``bins`` rational quadratics on [-bound, bound], the identity elsewhere.

    The net returns ``parameters_of(bins)`` numbers for each changed entry: widths and heights of the bins (softmax) and
    slopes at the inner knots (softplus). The slope at both ends is 1, so the map of the whole line is smooth (section
    3.1, "unconstrained" spline). A net that returns zeros gives the identity.

    All inputs are safe. Values outside the domain, NaN included, pass unchanged. The discriminant of the inverse, which
    only rounding can make negative, is clipped, and its root is computed without cancellation.

    >>> split = flows.EvenOdd(2, parity=0)
    >>> net = flows.MLP(split.kept, [8], split.changed * flows.SplineCoupling.parameters_of(4))
    >>> flows.SplineCoupling(split, net, bins=4)(torch.tensor([[1.0, 2.0]]))[0].round(decimals=4)
    tensor([[1., 2.]], grad_fn=<RoundBackward1>)
    """

    def __init__(self, split: Split, net: nn.Module, bins: int = 8, bound: float = 4.0) -> None:
        super().__init__(split, net)
        if not 0 < bins * LEAST_SHARE < 1:
            raise ArchitectureError(f"bins must be less than {round(1 / LEAST_SHARE)}, got {bins}")
        self.bins, self.bound = bins, bound

    @staticmethod
    def parameters_of(bins: int) -> int:
        """The number of the net's outputs for each changed entry."""
        return 3 * bins - 1

    def couple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        inside, x = self._within(changed)
        knots = self._knots(parameters, changed)
        piece = knots.at(knots.x, x)
        xi = ((x - piece.x) / piece.width).clamp(0, 1)
        y = piece.y + piece.height * (piece.slope * xi.square() + piece.left * xi * (1 - xi)) / piece.denominator(xi)
        return _joined(inside, y, changed, piece.log_slope(xi))

    def uncouple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        inside, y = self._within(changed)
        knots = self._knots(parameters, changed)
        piece = knots.at(knots.y, y)
        xi = piece.solve(y - piece.y)
        return _joined(inside, piece.x + piece.width * xi, changed, -piece.log_slope(xi))

    def _within(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Which values lie inside the domain, and the values with 0 instead of the others, to keep gradients finite."""
        inside = values.abs() < self.bound
        return inside, torch.where(inside, values, 0.0)

    def _knots(self, parameters: Tensor, changed: Tensor) -> _Knots:
        """The knots from the net's outputs (B, n * parameters_of(bins)) for entries (B, n)."""
        table = parameters.reshape(*changed.shape, self.parameters_of(self.bins))
        widths, heights, slopes = torch.split(table, [self.bins, self.bins, self.bins - 1], dim=-1)
        # softplus(0 + offset) + least = 1
        inner = LEAST_SLOPE + functional.softplus(slopes + math.log(math.expm1(1 - LEAST_SLOPE)))
        return _Knots(self._positions(widths), self._positions(heights), functional.pad(inner, (1, 1), value=1.0))

    def _positions(self, raw: Tensor) -> Tensor:
        """Unconstrained sizes (..., bins) -> increasing positions (..., bins + 1) from -bound to bound."""
        shares = LEAST_SHARE + (1 - LEAST_SHARE * self.bins) * raw.softmax(dim=-1)
        inner = self.bound * (2 * shares.cumsum(dim=-1)[..., :-1] - 1)
        return functional.pad(functional.pad(inner, (1, 0), value=-self.bound), (0, 1), value=self.bound)

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound}"


class _Piece(NamedTuple):
    """The rational quadratic of each entry's bin. Every field has the shape of the entries."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    """The slope at the left end."""
    right: Tensor
    """The slope at the right end."""

    @property
    def slope(self) -> Tensor:
        return self.height / self.width

    @property
    def excess(self) -> Tensor:
        return self.left + self.right - 2 * self.slope

    def denominator(self, xi: Tensor) -> Tensor:
        return self.slope + self.excess * xi * (1 - xi)

    def log_slope(self, xi: Tensor) -> Tensor:
        """log dy/dx at the share xi of the bin's width (eq. 5)."""
        rise = self.right * xi.square() + 2 * self.slope * xi * (1 - xi) + self.left * (1 - xi).square()
        return 2 * self.slope.log() + rise.log() - 2 * self.denominator(xi).log()

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


class _Knots(NamedTuple):
    """Positions and slopes of the knots, (..., bins + 1) each."""

    x: Tensor
    y: Tensor
    slopes: Tensor

    def at(self, positions: Tensor, values: Tensor) -> _Piece:
        """The pieces of the bins, bounded by positions (..., bins + 1), that values (...) fall into."""
        index = (values[..., None] >= positions[..., 1:-1]).sum(dim=-1, keepdim=True)

        def pick(table: Tensor, offset: int) -> Tensor:
            return table.gather(-1, index + offset)[..., 0]

        x, y = pick(self.x, 0), pick(self.y, 0)
        return _Piece(
            x, y, pick(self.x, 1) - x, pick(self.y, 1) - y, left=pick(self.slopes, 0), right=pick(self.slopes, 1)
        )


def _joined(inside: Tensor, moved: Tensor, unmoved: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(inside, moved, unmoved), torch.where(inside, log_slope, 0.0).flatten(1).sum(dim=1)
