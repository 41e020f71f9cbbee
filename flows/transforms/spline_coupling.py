"""Rational-quadratic spline coupling (Durkan, Bekasov, Murray & Papamakarios 2019, "Neural Spline Flows",
arXiv:1906.04032): each entry passes through its own monotone curve, whose shape the net determines."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flows.errors import ArchitectureError
from flows.transforms.coupling import Coupling, Split
from flows.transforms.spline_curve import LEAST_SHARE, piece_of, spline_curve


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
        return spline_curve(changed, self._of_each(parameters, changed), self.bound)

    def uncouple(self, changed: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        inside = changed.abs() < self.bound
        y = torch.where(inside, changed, 0.0)  # 0 in place of the others keeps gradients finite
        piece = piece_of(y, self._of_each(parameters, changed), self.bound, by_height=True)
        xi = piece.solve(y - piece.y)
        x, log_slope = piece.x + piece.width * xi, -piece.curve(xi)[1]
        return torch.where(inside, x, changed), torch.where(inside, log_slope, 0.0).flatten(1).sum(dim=1)

    def _of_each(self, parameters: Tensor, changed: Tensor) -> Tensor:
        """The net's outputs (B, n * parameters_of(bins)) for entries (B, n) as (B, n, parameters_of(bins))."""
        return parameters.reshape(*changed.shape, self.parameters_of(self.bins))

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound}"
