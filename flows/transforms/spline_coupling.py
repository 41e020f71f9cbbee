"""Rational-quadratic spline coupling (Durkan, Bekasov, Murray & Papamakarios 2019, "Neural Spline Flows",
arXiv:1906.04032): each entry goes through a monotone curve of its own, drawn by the net."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from flows.errors import ArchitectureError
from flows.transforms.coupling import Coupling, Split

LEAST_SHARE = 1e-2
"""Of the domain, the least width and height of a bin.

The paper's code has 1e-3 here and for the slope. That bends no further where it counts (two spirals come to the same
nats), and a few couplings in a row can then flatten a valley so far that float32 does not find back out of it.
"""
LEAST_SLOPE = 1e-2


class SplineCoupling(Coupling):
    """g(x; w, h, d): on [-bound, bound] a spline of ``bins`` rational quadratics, outside of it the identity.

    The net answers with ``parameters_of(bins)`` numbers for each entry that it changes: widths and heights of the bins
    (softmax) and slopes at the inner knots (softplus). At both ends the slope is 1, so the whole line is mapped
    smoothly (section 3.1, "unconstrained" spline). A net that answers zero gives the identity.

    Nothing that comes in can break it: what is not inside the domain passes unchanged (NaN too), and the inverse's
    discriminant, which is positive but for rounding, is held there and its root taken without cancellation.
    """

    def __init__(self, split: Split, net: nn.Module, bins: int = 8, bound: float = 4.0) -> None:
        super().__init__(split, net)
        if not 0 < bins * LEAST_SHARE < 1:
            raise ArchitectureError(f"bins: as many as {bins} do not fit side by side")
        self.bins, self.bound = bins, bound

    @staticmethod
    def parameters_of(bins: int) -> int:
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
        """Which values the spline moves, and the values with 0 in place of the others, so that no gradient is lost."""
        inside = values.abs() < self.bound
        return inside, torch.where(inside, values, 0.0)

    def _knots(self, parameters: Tensor, changed: Tensor) -> _Knots:
        """From the net's answer (B, n * parameters_of(bins)) for entries (B, n)."""
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
    """The rational quadratic that each entry lies on; every field has the shape of the entries."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    """Slope at its left end."""
    right: Tensor

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
        """The share xi at which the piece has climbed by ``above`` (eqs. 6 to 8): a xi^2 + b xi + c = 0."""
        b = self.height * self.left - above * self.excess
        a = self.height * self.slope - b
        c = -self.slope * above
        root = (b.square() - 4 * a * c).clamp_min(torch.finfo(above.dtype).tiny).sqrt()
        # Two ways to write the one root; each is free of cancellation for its sign of b.
        downhill = b < 0
        xi = torch.where(downhill, root - b, -2 * c) / torch.where(downhill, 2 * a, root + b)
        return xi.clamp(0, 1)


class _Knots(NamedTuple):
    """Positions and slopes of the knots, (..., bins + 1) each."""

    x: Tensor
    y: Tensor
    slopes: Tensor

    def at(self, positions: Tensor, values: Tensor) -> _Piece:
        """The pieces that values (...) fall on, where positions (..., bins + 1) part them."""
        index = (values[..., None] >= positions[..., 1:-1]).sum(dim=-1, keepdim=True)

        def pick(table: Tensor, offset: int) -> Tensor:
            return table.gather(-1, index + offset)[..., 0]

        x, y = pick(self.x, 0), pick(self.y, 0)
        return _Piece(
            x, y, pick(self.x, 1) - x, pick(self.y, 1) - y, left=pick(self.slopes, 0), right=pick(self.slopes, 1)
        )


def _joined(inside: Tensor, moved: Tensor, unmoved: Tensor, log_slope: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(inside, moved, unmoved), torch.where(inside, log_slope, 0.0).flatten(1).sum(dim=1)
