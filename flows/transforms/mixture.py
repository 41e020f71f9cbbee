"""A mixture of logistics on the unit interval, as an invertible map of each entry.

Such a density can have a sharp mode at each likely grey level and almost no mass between, which no affine map of a
pixel can. Its distribution function maps a pixel to (0, 1); the logit of that is a latent with a standard logistic
density. The map is exact and invertible: Ho, Chen, Srinivas, Duan & Abbeel, "Flow++", 2019 (arXiv:1902.00275), section
3.2. Many pixels are entirely black or white, so each end of the interval has a component of its own, flat and one grey
level wide. In PixelCNN++ (Salimans, Karpathy, Chen & Kingma 2017, arXiv:1701.05517, section 2.1) the end bins have this
role.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 256

# Logistics range from a fraction of a grey level to the whole interval. A smooth density with narrower ones
# would fit the noise of dequantisation.
_NARROWEST, _WIDEST = math.log(0.15 / LEVELS), 0.0

_PARTS = 16
"""The parts into which a round of the inverse divides an interval: LEVELS is its square."""
_NEWTON_STEPS = {torch.float32: 1, torch.float64: 3}
"""Newton steps of the inverse after the last round, until an error of 1/20 of a scale is below the last place."""


class UnitMixture:
    """A density on [0, 1] for every entry of a batch: K truncated logistics, and a flat step at each end.

    ``raw`` (B, ``parameters(K)``, ...) is the output of a net. Any values give a normalised density: weights go through
    a softmax, means and log-scales through a sigmoid.

    >>> mixture = flows.UnitMixture(torch.randn(2, flows.UnitMixture.parameters(3), 5).double(), components=3)
    >>> u = torch.rand(2, 5).double()
    >>> z, log_slope = mixture.to_latent(u)
    >>> torch.allclose(mixture.from_latent(z)[0], u)
    True
    """

    def __init__(self, raw: Tensor, components: int) -> None:
        weights, means, scales = torch.split(raw, [components + 2, components, components], dim=1)
        self._raw_weights = weights
        self._mean = means.sigmoid()
        self._log_scale = _NARROWEST + (_WIDEST - _NARROWEST) * scales.sigmoid()
        self._rate = (-self._log_scale).exp()

    # What only some of the methods need.

    @cached_property
    def _weights(self) -> Tensor:
        return self._raw_weights.softmax(dim=1)

    @cached_property
    def _log_weights(self) -> Tensor:
        return functional.log_softmax(self._raw_weights, dim=1)

    @cached_property
    def _log_left(self) -> Tensor:
        return functional.logsigmoid(self._mean * self._rate)

    @cached_property
    def _log_right(self) -> Tensor:
        return functional.logsigmoid((1 - self._mean) * self._rate)

    @cached_property
    def _log_span(self) -> Tensor:
        return log1mexp(self._rate)

    @cached_property
    def _ramp(self) -> Tensor:
        """The edges (P + 1, 1, ...) of ``_PARTS`` parts of [0, 1], for entries (B, ...)."""
        edges = torch.linspace(0, 1, _PARTS + 1, dtype=self._mean.dtype, device=self._mean.device)
        return edges.view(-1, *[1] * (self._mean.dim() - 2))

    @staticmethod
    def parameters(components: int) -> int:
        """The number of parameters of one density."""
        return 3 * components + 2

    @staticmethod
    def start(components: int, *, around_zero: bool = False) -> Tensor:
        """Raw parameters (parameters,) of an initial density: wide modes across the interval, some mass on black.

        ``around_zero`` is for means to which a guess is added: modes close to it, little mass on black and white.
        """
        raw = torch.zeros(UnitMixture.parameters(components))
        if around_zero:
            raw[:2] = -2.0
            raw[components + 2 : 2 * components + 2] = torch.linspace(-0.5, 0.5, components)
            raw[2 * components + 2 :] = 0.5
            return raw
        raw[0] = 2.0
        raw[components + 2 : 2 * components + 2] = torch.linspace(0.05, 0.95, components).logit()
        raw[2 * components + 2 :] = 1.0
        return raw

    @staticmethod
    def moved(raw: Tensor, guess: Tensor, components: int) -> Tensor:
        """Raw parameters (B, N, parameters, ...) of N densities with the logits of their means moved by a guess.

        ``guess`` (B, N, ...) is of the middle of each density.
        """
        weights, means, scales = torch.split(raw, [components + 2, components, components], dim=2)
        return torch.cat([weights, means + guess.unsqueeze(2), scales], dim=2)

    def to_latent(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """u (B, ...) in [0, 1] -> z = logit F(u) (B, ...) and log dz/du (B, ...), F the distribution function.

        At the ends, where z would be infinite, u is moved inwards by one unit in the last place of 1.
        """
        u, above, below = self._sides(u)
        # s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) for the sigmoid s: so all three values are sums of logarithms.
        density = above + below - self._log_scale - self._log_left - self._log_right - self._log_span
        under = above - self._log_right + log1mexp(u * self._rate) - self._log_span
        over = below - self._log_left + log1mexp((1 - u) * self._rate) - self._log_span

        log_density = self._mix(step_density(u), step_density(1 - u), density)
        log_under = self._mix(step_share(u), step_share(u - 1 + 1 / LEVELS), under)
        log_over = self._mix(step_share(1 / LEVELS - u), step_share(1 - u), over)
        return log_under - log_over, log_density - log_under - log_over

    def log_density(self, u: Tensor) -> Tensor:
        """u (B, ...) in [0, 1] -> its log-density (B, ...), at a third of the cost of ``to_latent``.

        It is the logistic log-density of the latent plus the log-slope, in which the distribution function cancels.
        """
        u, above, below = self._sides(u)
        density = above + below - self._log_scale - self._log_left - self._log_right - self._log_span
        return self._mix(step_density(u), step_density(1 - u), density)

    def _sides(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """u (B, 1, ...) moved off the ends, and logsigmoid of its distance above and below each mean, in scales."""
        eps = torch.finfo(u.dtype).eps
        u = u.clamp(eps, 1 - eps).unsqueeze(1)
        from_mean = (u - self._mean) * self._rate
        return u, functional.logsigmoid(from_mean), functional.logsigmoid(-from_mean)

    def smoothed(self, u: Tensor, width: Tensor) -> Tensor:
        """The log-density (B, ...) with each logistic widened by width (B,), and logistics in place of the steps.

        Far from a mode its slope points to the mode; that of the density itself is zero or points to the nearest bump.
        """
        width = width.reshape(-1, *[1] * u.dim())
        u = u.unsqueeze(1)
        ends = torch.stack([torch.zeros_like(u[:, 0]), torch.ones_like(u[:, 0])], dim=1)
        mean = torch.cat([ends, self._mean], dim=1)
        step = torch.full_like(ends, 0.5 / LEVELS)
        scale = torch.cat([step, self._log_scale.exp()], dim=1) + width
        from_mean = (u - mean) / scale
        bump = functional.logsigmoid(from_mean) + functional.logsigmoid(-from_mean) - scale.log()
        return torch.logsumexp(self._log_weights + bump, dim=1)

    def draw(self, uniform: Tensor) -> Tensor:
        """A draw u (B, ...) from the density, given uniform (B, ...) in (0, 1), float64.

        Chooses a component and a place in it. This is not the inverse of F, which would need bisection. One uniform
        number has enough digits for both choices.
        """
        shares = self._log_weights.double().exp().cumsum(dim=1)
        level = uniform.unsqueeze(1) * shares[:, -1:]
        which = (shares <= level).sum(dim=1, keepdim=True).clamp_max(shares.shape[1] - 1)
        below = torch.where(which > 0, shares.gather(1, (which - 1).clamp_min(0)), 0.0)
        within = ((level - below) / (shares.gather(1, which) - below)).clamp(0, 1)
        mean, rate = (each.gather(1, (which - 2).clamp_min(0)).double() for each in (self._mean, self._rate))
        left, right = (-mean * rate).sigmoid(), ((1 - mean) * rate).sigmoid()
        logistic = mean + torch.logit(left + within * (right - left), eps=torch.finfo(within.dtype).eps) / rate
        black, white = within / LEVELS, 1 - within / LEVELS
        drawn = black.where(which == 0, white.where(which == 1, logistic)).clamp(0, 1)
        return drawn.squeeze(1).to(self._mean.dtype)

    def from_latent(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, ...) -> u (B, ...) with F(u) = sigmoid(z), and log du/dz (B, ...).

        F is increasing but has no closed inverse: a search of a fixed number of rounds finds u to the last place. A
        Newton step of value zero carries the gradient with respect to z and to the mixture's parameters.
        """
        with torch.no_grad():
            u, log_slope = self._search(z)
        if torch.is_grad_enabled():
            found, steepness = self.to_latent(u)
            newton = (z - found) * (-steepness.detach()).exp()
            u = u + (newton - newton.detach())
            log_slope = -self.to_latent(u)[1]
        return u, log_slope

    def _search(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """u (B, ...) with F(u) = sigmoid(z), and log du/dz (B, ...), without gradients.

        Two rounds of 16 parts find the grey level of u, a third its sixteenth. No logistic is narrower than 0.15 of a
        level. So within a sixteenth F is nearly a line: linear interpolation is off by 1/20 of the narrowest scale at
        most, and each Newton step squares that. All rounds do the same work for every entry, in few large operations:
        nothing depends on the data.

        The smaller of F and 1 - F is compared, since it has all its digits: where z > 0, the interval is mirrored.
        """
        ramp = self._ramp
        mirrored, tail = z > 0, -z.abs()
        ends, weights = self._weights[:, :2], self._weights[:, 2:]
        black, white = torch.where(mirrored.unsqueeze(1), ends.flip(1), ends).unbind(1)
        from_mean = torch.where(mirrored.unsqueeze(1), self._mean - 1, -self._mean)

        # Over the whole interval. The sigmoids at both ends also normalise each truncated logistic.
        start = from_mean * self._rate
        each = self._sigmoids(start, ramp.unsqueeze(0))
        share = weights / (each[:, :, -1] - each[:, :, 0])
        sums = each.mul_(share.unsqueeze(2)).sum(dim=1)
        wanted_in_black = tail.sigmoid() + sums[:, 0]
        wanted = wanted_in_black - black
        level = (sums[:, 1:-1] < wanted.unsqueeze(1)).sum(dim=1, dtype=z.dtype) / _PARTS

        u = torch.add(level.unsqueeze(1), ramp[1:-1], alpha=1 / _PARTS)
        sums = self._sigmoids(start, u).mul_(share.unsqueeze(2)).sum(dim=1)
        level = torch.add(level, (sums < wanted.unsqueeze(1)).sum(dim=1, dtype=z.dtype), alpha=1 / LEVELS)

        # Within the level, in which a step at an end is a line.
        is_black = level == 0
        step = torch.where(is_black, black, torch.where(level < 1 - 1 / LEVELS, 0, white))
        wanted = torch.where(is_black, wanted_in_black, wanted)
        v, density = self._within_level((level.unsqueeze(1) + from_mean) * self._rate, share, wanted, step)
        u = level + v
        # With F = sigmoid(z): log F (1 - F) - log F'.
        log_slope = torch.add(tail, functional.softplus(tail), alpha=-2) - density.log()
        return torch.where(mirrored, 1 - u, u), log_slope

    def _within_level(self, start: Tensor, share: Tensor, wanted: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """v (B, ...) from 0 to 1 / LEVELS, above a level's lower edge, below which lies the mass wanted, and F' there.

        ``start`` (B, K, ...) is the edge seen from each logistic, in its scales, ``share`` (B, K, ...) its weight by
        its span, and ``step`` (B, ...) the mass of an end's step in this level.
        """
        ramp = self._ramp
        sums = self._sigmoids(start, ramp.unsqueeze(0), 1 / LEVELS).mul_(share.unsqueeze(2)).sum(dim=1)
        excess = torch.addcmul(sums - wanted.unsqueeze(1), step.unsqueeze(1), ramp)
        tiny = torch.finfo(wanted.dtype).tiny
        # Of the parts below u all is passed, of that with u a share, of those above nothing.
        passed = (excess[:, :-1] / excess.diff(dim=1).clamp_min_(tiny)).clamp_(-1, 0)
        v = passed.sum(dim=1) * (-1 / (LEVELS * _PARTS))

        steepness = share * self._rate
        for newton_step in range(_NEWTON_STEPS[wanted.dtype] + 1):
            each = torch.addcmul(start, v.unsqueeze(1), self._rate).sigmoid_()
            density = torch.ops.aten.sigmoid_backward(steepness, each).sum(dim=1)
            density = torch.add(density, step, alpha=LEVELS).clamp_min_(tiny)
            if newton_step < _NEWTON_STEPS[wanted.dtype]:
                missing = torch.addcmul(wanted - each.mul_(share).sum(dim=1), step, v, value=-LEVELS)
                v = (v + missing / density).clamp_(0, 1 / LEVELS)
        return v, density

    def _sigmoids(self, start: Tensor, u: Tensor, scale: float = 1.0) -> Tensor:
        """The logistics' sigmoids (B, K, P, ...) at points (B or 1, P, ...) times ``scale``, seen from a start."""
        return torch.addcmul(start.unsqueeze(2), u.unsqueeze(1), self._rate.unsqueeze(2), value=scale).sigmoid_()

    def _mix(self, black: Tensor, white: Tensor, logistics: Tensor) -> Tensor:
        """The logarithm of the weighted sum over components, from logarithms (B, 1 or K, ...)."""
        return torch.logsumexp(self._log_weights + torch.cat([black, white, logistics], dim=1), dim=1)


def step_density(distance: Tensor) -> Tensor:
    """The log-density of an end's step at a distance from that end; -1e4 stands for zero density."""
    return torch.full_like(distance, math.log(LEVELS)).masked_fill(distance > 1 / LEVELS, -1e4)


def step_share(width: Tensor) -> Tensor:
    """The logarithm of the mass of a step within a part of its width."""
    return (width * LEVELS).clamp(1e-30, 1).log()


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(-x)) for x > 0, to full precision at both ends."""
    return (-torch.expm1(-x)).log()
