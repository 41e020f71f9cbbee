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

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 256

# Logistics range from a fraction of a grey level to the whole interval. Narrower ones would fit dequantisation noise.
_NARROWEST, _WIDEST = math.log(0.15 / LEVELS), 0.0


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
        self._log_weights = functional.log_softmax(weights, dim=1)
        self._mean = means.sigmoid()
        self._log_scale = _NARROWEST + (_WIDEST - _NARROWEST) * scales.sigmoid()
        self._rate = (-self._log_scale).exp()
        self._log_left = functional.logsigmoid(self._mean * self._rate)
        self._log_right = functional.logsigmoid((1 - self._mean) * self._rate)
        self._log_span = _log1mexp(self._rate)
        self._swapped = [1, 0, *range(2, components + 2)]
        """The order of the weights for the mirrored interval: black and white change places."""

    @staticmethod
    def parameters(components: int) -> int:
        """The number of parameters of one density."""
        return 3 * components + 2

    @staticmethod
    def start(components: int) -> Tensor:
        """Raw parameters (parameters,) of an initial density: wide modes across the interval, some mass on black."""
        raw = torch.zeros(UnitMixture.parameters(components))
        raw[0] = 2.0
        raw[components + 2 : 2 * components + 2] = torch.linspace(0.05, 0.95, components).logit()
        raw[2 * components + 2 :] = 1.0
        return raw

    def to_latent(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """u (B, ...) in [0, 1] -> z = logit F(u) (B, ...) and log dz/du (B, ...), F the distribution function.

        At the ends, where z would be infinite, u is moved inwards by one unit in the last place of 1.
        """
        eps = torch.finfo(u.dtype).eps
        u = u.clamp(eps, 1 - eps).unsqueeze(1)
        from_mean = (u - self._mean) * self._rate
        above, below = functional.logsigmoid(from_mean), functional.logsigmoid(-from_mean)
        # s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) for the sigmoid s: so all three values are sums of logarithms.
        density = above + below - self._log_scale - self._log_left - self._log_right - self._log_span
        under = above - self._log_right + _log1mexp(u * self._rate) - self._log_span
        over = below - self._log_left + _log1mexp((1 - u) * self._rate) - self._log_span

        log_density = self._mix(_step_density(u), _step_density(1 - u), density)
        log_under = self._mix(_step_share(u), _step_share(u - 1 + 1 / LEVELS), under)
        log_over = self._mix(_step_share(1 / LEVELS - u), _step_share(1 - u), over)
        return log_under - log_over, log_density - log_under - log_over

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

        F is increasing but has no closed inverse, so bisection finds u to the last place. A Newton step of value zero
        carries the gradient with respect to z and to the mixture's parameters.
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

        Compares the smaller of F and 1 - F, which has all its digits: where z > 0, the interval is mirrored.
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
        """The logarithm of the weighted sum over components, from logarithms (B, 1 or K, ...)."""
        return torch.logsumexp(self._log_weights + torch.cat([black, white, logistics], dim=1), dim=1)


def _step_density(distance: Tensor) -> Tensor:
    """The log-density of an end's step at a distance from that end; -1e4 stands for zero density."""
    return torch.full_like(distance, math.log(LEVELS)).masked_fill(distance > 1 / LEVELS, -1e4)


def _step_share(width: Tensor) -> Tensor:
    """The logarithm of the mass of a step within a part of its width."""
    return (width * LEVELS).clamp(1e-30, 1).log()


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(-x)) for x > 0, to full precision at both ends."""
    return (-torch.expm1(-x)).log()
