"""The factorised latent densities of NICE (section 3.4): standard logistic and standard normal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Prior(nn.Module):
    """The density of independent, identically distributed latents (B, *shape).

    A subclass implements ``log_density`` and ``quantile``. With quantiles, draws can be made from any source of uniform
    numbers and are the same on every device.

    >>> isinstance(flows.StandardNormal((2,)), flows.Prior)
    True
    """

    std: float
    """The standard deviation of each latent."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def log_density(self, z: Tensor) -> Tensor:
        """The log-density of each latent, in nats, in the shape of z."""
        raise NotImplementedError

    def quantile(self, u: Tensor) -> Tensor:
        """The quantile function: the latent below which a share u in (0, 1) of the mass lies, elementwise."""
        raise NotImplementedError

    def log_prob(self, z: Tensor) -> Tensor:
        """z (B, *shape) -> log-density (B,), in nats."""
        return self.log_density(z).flatten(1).sum(dim=1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws (n, *shape), float64, on the generator's device (the CPU without one)."""
        device = generator.device if generator is not None else torch.device("cpu")
        u = torch.rand((n, *self.shape), generator=generator, dtype=torch.float64, device=device)
        return self.quantile(u.clamp_min(2.0**-54))  # a draw of exactly zero would be minus infinity

    def extra_repr(self) -> str:
        return f"{self.shape}"


class StandardLogistic(Prior):
    """log p(z) = z - 2 log(1 + e^z). It is symmetric, and computed by softplus it overflows on neither side.

    >>> flows.StandardLogistic((3,)).log_prob(torch.zeros(2, 3))
    tensor([-4.1589, -4.1589])
    """

    std = math.pi / math.sqrt(3)

    def log_density(self, z: Tensor) -> Tensor:
        return z - 2 * functional.softplus(z)

    def quantile(self, u: Tensor) -> Tensor:
        return torch.logit(u)


class StandardNormal(Prior):
    """log p(z) = -(z^2 + log 2 pi) / 2.

    >>> flows.StandardNormal((3,)).log_prob(torch.zeros(2, 3))
    tensor([-2.7568, -2.7568])
    """

    std = 1.0

    def log_density(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + math.log(2 * math.pi))

    def quantile(self, u: Tensor) -> Tensor:
        z: Tensor = torch.special.ndtri(u)
        return z


PRIORS: Mapping[str, type[Prior]] = {"logistic": StandardLogistic, "normal": StandardNormal}
