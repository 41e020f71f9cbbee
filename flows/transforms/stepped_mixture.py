"""A mixture of logistics on the unit interval whose density is flat within each grey level."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from flows.transforms.mixture import LEVELS, UnitMixture, log1mexp, step_density, step_share

_FURTHER_DIGITS = 2.0**24
"""What is left of a uniform number in (0, 1), of 53 digits, once its first ones have chosen a level."""


class SteppedMixture(UnitMixture):
    """``UnitMixture`` with the mass of each grey level spread evenly over the level; other methods as there.

    As in PixelCNN++ (Salimans, Karpathy, Chen & Kingma 2017, arXiv:1701.05517, equation 2) a level's mass is the
    mixture integrated over it; black and white are as in ``UnitMixture``. A density of dequantised pixels with given
    masses is likeliest when it is flat within levels, for then the bound of Theis, van den Oord & Bethge (2016,
    arXiv:1511.01844, section 3.1) is tight: the noise of dequantisation does not matter, and neither does rounding a
    draw to its level. With respect to pixels its slope is zero.

    >>> mixture = flows.SteppedMixture(torch.randn(2, flows.UnitMixture.parameters(3), 5).double(), components=3)
    >>> level = torch.randint(0, 256, (2, 5))
    >>> low, high = mixture.log_density((level + 0.1) / 256), mixture.log_density((level + 0.9) / 256)
    >>> torch.equal(low, high)
    True
    >>> u = torch.rand(2, 5).double()
    >>> torch.allclose(mixture.from_latent(mixture.to_latent(u)[0])[0], u)
    True
    """

    @cached_property
    def _log_share(self) -> Tensor:
        """log(1 - exp(-w / scale)) of each logistic, for the width w of a grey level."""
        return log1mexp(self._rate / LEVELS)

    def to_latent(self, u: Tensor) -> tuple[Tensor, Tensor]:
        low = _low_edge(u)
        part = _inside((u - low) * LEVELS)
        log_density = self.log_density(u)
        log_mass = log_density - math.log(LEVELS)
        log_under = torch.logaddexp(self._log_below(low), part.log() + log_mass)
        log_over = torch.logaddexp(self._log_beyond(low + 1 / LEVELS), torch.log1p(-part) + log_mass)
        return log_under - log_over, log_density - log_under - log_over

    def log_density(self, u: Tensor) -> Tensor:
        low = _low_edge(u).unsqueeze(1)
        above = functional.logsigmoid((low + 1 / LEVELS - self._mean) * self._rate)
        below = functional.logsigmoid((self._mean - low) * self._rate)
        # s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) for the sigmoid s.
        mass = above + below + self._log_share - self._log_left - self._log_right - self._log_span
        middle = low + 0.5 / LEVELS
        return self._mix(step_density(middle), step_density(1 - middle), mass + math.log(LEVELS))

    def _log_below(self, edge: Tensor) -> Tensor:
        """log F (B, ...) at lower edges of levels (B, ...)."""
        u = edge.clamp_min(1 / LEVELS).unsqueeze(1)
        under = functional.logsigmoid((u - self._mean) * self._rate) - self._log_right - self._log_span
        found = self._mix(step_share(u), step_share(u - 1 + 1 / LEVELS), under + log1mexp(u * self._rate))
        return torch.where(edge > 0, found, -1e4)

    def _log_beyond(self, edge: Tensor) -> Tensor:
        """log (1 - F) (B, ...) at upper edges of levels (B, ...)."""
        u = edge.clamp_max(1 - 1 / LEVELS).unsqueeze(1)
        over = functional.logsigmoid((self._mean - u) * self._rate) - self._log_left - self._log_span
        found = self._mix(step_share(1 / LEVELS - u), step_share(1 - u), over + log1mexp((1 - u) * self._rate))
        return torch.where(edge < 1, found, -1e4)

    def draw(self, uniform: Tensor) -> Tensor:
        low = _low_edge(super().draw(uniform))
        part = (uniform * _FURTHER_DIGITS).frac().to(low.dtype)
        return low + _inside(part) / LEVELS

    def _within_level(self, start: Tensor, share: Tensor, wanted: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        passed = (start.sigmoid() * share).sum(dim=1)
        end = start + self._rate / LEVELS
        each = end.sigmoid() * (-start).sigmoid() * -torch.expm1(-self._rate / LEVELS)
        mass = ((each * share).sum(dim=1) + step).clamp_min(torch.finfo(wanted.dtype).tiny)
        return _inside((wanted - passed) / mass) / LEVELS, mass * LEVELS


def _low_edge(u: Tensor) -> Tensor:
    """The lower edges (B, ...) of the levels that values u (B, ...) in [0, 1] belong to."""
    return (u.detach() * LEVELS).floor().clamp(0, LEVELS - 1) / LEVELS


def _inside(part: Tensor) -> Tensor:
    """Shares of a level's width, moved off its edges, so that rounding does not reach another level."""
    eps = LEVELS * torch.finfo(part.dtype).eps
    return part.clamp(eps, 1 - eps)
