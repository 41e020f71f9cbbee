"""A mixture of logistics on the unit interval, as a change of variables: the elementwise heart of a strong coupling.

A density of this form can put a sharp mode at every grey level that is likely and next to nothing between, which no
affine map of a pixel can. Its distribution function takes the pixel to (0, 1), and the logit of that to a latent with
a standard logistic density, so that a coupling with it is exact and has an inverse: Ho, Chen, Srinivas, Duan & Abbeel,
"Flow++", 2019 (arXiv:1902.00275), section 3.2. The interval's two ends get a component of their own, one grey level
wide and flat, because in images the pixels that are wholly black or white are many: what the end bins are in Salimans,
Karpathy, Chen & Kingma, "PixelCNN++", 2017 (arXiv:1701.05517), section 2.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 256

# From a fraction of one grey level to the whole interval; narrower modes would only memorise dequantisation noise.
_NARROWEST, _WIDEST = math.log(0.15 / LEVELS), 0.0


class UnitMixture:
    """One density on [0, 1] for every entry of a batch: K truncated logistics, and a flat step at either end.

    Made from a net's raw answer (B, ``parameters(K)``, ...), whatever it is: weights go through a softmax, means and
    log-scales through a sigmoid, so that every entry has a proper density.
    """

    def __init__(self, raw: Tensor, components: int) -> None:
        weights, means, scales = torch.split(raw, [components + 2, components, components], dim=1)
        self._log_weights = functional.log_softmax(weights, dim=1)
        self._mean = means.sigmoid()
        self._log_scale = _NARROWEST + (_WIDEST - _NARROWEST) * scales.sigmoid()
        self._rate = (-self._log_scale).exp()
        self._log_left = functional.logsigmoid(self._mean * self._rate)
        self._log_right = functional.logsigmoid((1 - self._mean) * self._rate)
        self._log_span = _log1mexp(self._rate)
        self._swapped = [1, 0, *range(2, components + 2)]
        """Which weights are whose when the interval is turned round: black is white, and a logistic remains one."""

    @staticmethod
    def parameters(components: int) -> int:
        """How many numbers an entry's density takes."""
        return 3 * components + 2

    @staticmethod
    def start(components: int) -> Tensor:
        """Raw numbers (parameters,) of a good first density: wide modes all over the interval, some mass on black."""
        raw = torch.zeros(UnitMixture.parameters(components))
        raw[0] = 2.0
        raw[components + 2 : 2 * components + 2] = torch.linspace(0.05, 0.95, components).logit()
        raw[2 * components + 2 :] = 1.0
        return raw

    def to_latent(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """u (B, ...) in [0, 1] -> z = logit F(u) (B, ...) and log dz/du (B, ...).

        The ends themselves are moved inwards by one unit in the last place of 1: there F is 0 or 1, and z infinite.
        """
        eps = torch.finfo(u.dtype).eps
        u = u.clamp(eps, 1 - eps).unsqueeze(1)
        from_mean = (u - self._mean) * self._rate
        above, below = functional.logsigmoid(from_mean), functional.logsigmoid(-from_mean)
        # With s the sigmoid, s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)): each of the three stays a sum of logarithms.
        density = above + below - self._log_scale - self._log_left - self._log_right - self._log_span
        under = above - self._log_right + _log1mexp(u * self._rate) - self._log_span
        over = below - self._log_left + _log1mexp((1 - u) * self._rate) - self._log_span

        log_density = self._mix(_step_density(u), _step_density(1 - u), density)
        log_under = self._mix(_step_share(u), _step_share(u - 1 + 1 / LEVELS), under)
        log_over = self._mix(_step_share(1 / LEVELS - u), _step_share(1 - u), over)
        return log_under - log_over, log_density - log_under - log_over

    def smoothed(self, u: Tensor, width: Tensor) -> Tensor:
        """The log-density (B, ...) with every logistic widened by width (B,); the steps become logistics as well.

        Its slope leads to a mode from far away, where that of the density itself is flat or leads to the nearest bump.
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
        """uniform (B, ...) in (0, 1), float64 -> u (B, ...), drawn from the density: a component, and a place in it.

        Not F's inverse, which would want bisection, but as good for a draw; one uniform number has digits for both.
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

        F has no closed inverse but grows, so bisection finds u to the last place; one Newton step that adds nothing to
        the value carries the gradient, with respect to z and to the mixture.
        """
        with torch.no_grad():
            u = self._bisect(z)
        found, log_slope = self.to_latent(u)
        if torch.is_grad_enabled():
            newton = (z - found) * (-log_slope.detach()).exp()
            u = u + (newton - newton.detach())
            log_slope = self.to_latent(u)[1]
        return u, -log_slope

    def _bisect(self, z: Tensor) -> Tensor:
        """u (B, ...) with F(u) = sigmoid(z), to the last place.

        Only the smaller of F and 1 - F is looked at, which keeps its digits: where z > 0 the mixture is mirrored, and
        what was over a point is under it.
        """
        mirrored = (z > 0).unsqueeze(1)
        weights = torch.where(mirrored, self._log_weights[:, self._swapped], self._log_weights)
        mean = torch.where(mirrored, 1 - self._mean, self._mean)
        weights[:, 2:] -= torch.where(mirrored, self._log_left, self._log_right) + self._log_span
        wanted = functional.logsigmoid(-z.abs()).unsqueeze(1)
        low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
        for _ in range(2 - round(math.log2(torch.finfo(z.dtype).eps))):
            u = (low + high) / 2
            logistics = functional.logsigmoid((u - mean) * self._rate) + _log1mexp(u * self._rate)
            under = torch.cat([_step_share(u), _step_share(u - 1 + 1 / LEVELS), logistics], dim=1)
            too_low = torch.logsumexp(weights + under, dim=1, keepdim=True) < wanted
            low, high = torch.where(too_low, u, low), torch.where(too_low, high, u)
        u = (low + high) / 2
        return torch.where(mirrored, 1 - u, u).squeeze(1)

    def _mix(self, black: Tensor, white: Tensor, logistics: Tensor) -> Tensor:
        """log of the weighted sum of each component's value, given as logarithms (B, 1 or K, ...)."""
        return torch.logsumexp(self._log_weights + torch.cat([black, white, logistics], dim=1), dim=1)


def _step_density(distance: Tensor) -> Tensor:
    """The log-density of the step at an end, at this distance from it. A very small number stands for none."""
    return torch.full_like(distance, math.log(LEVELS)).masked_fill(distance > 1 / LEVELS, -1e4)


def _step_share(width: Tensor) -> Tensor:
    """The logarithm of the share of a step that so much of its width holds."""
    return (width * LEVELS).clamp(1e-30, 1).log()


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(-x)) for x > 0, to full precision at both ends."""
    return (-torch.expm1(-x)).log()
