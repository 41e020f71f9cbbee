"""How good a flow is: the log-likelihoods of held-out items, and the spread of their latents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flows import Flow, Prior, bits_per_dim


@dataclass(frozen=True)
class Latents:
    """The latents of held-out items, to be compared with the prior that they should follow."""

    values: Tensor
    """Latents (N, D), on the CPU."""
    prior: Prior

    @classmethod
    @torch.no_grad()
    def of(cls, flow: Flow, items: Tensor, batch_size: int = 500) -> Latents:
        """The latents of items (N, *item_shape), as a user sends them."""
        batches = torch.split(items, batch_size)
        values = torch.cat([flow.encode(flow.to_continuous(batch))[0].flatten(1).cpu() for batch in batches])
        return cls(values, flow.prior)

    def statistics(self) -> dict[str, tuple[float, float]]:
        """Figures of all latents together by name, each with the value that the prior has."""
        spread = self.values.std(dim=0)
        low, high = (float(self.prior.quantile(torch.tensor(q, dtype=torch.float64))) for q in (0.005, 0.995))
        return {
            "mean": (float(self.values.mean()), 0.0),
            "standard deviation": (float(self.values.std()), self.prior.std),
            "least standard deviation of a dimension": (float(spread.min()), self.prior.std),
            "greatest standard deviation of a dimension": (float(spread.max()), self.prior.std),
            f"share below {low:.2f}": (float((self.values < low).double().mean()), 0.005),
            f"share above {high:.2f}": (float((self.values > high).double().mean()), 0.005),
        }


@dataclass(frozen=True)
class Quality:
    """Figures of one split, in nats per item, and in bits per dimension where items are images."""

    count: int
    log_likelihood: float
    standard_error: float
    bits_per_dim: float | None

    @classmethod
    def of(cls, flow: Flow, scores: Tensor) -> Quality:
        """The figures of a split whose log-likelihoods under a flow are ``scores`` (N,)."""
        mean = float(scores.mean())
        return cls(
            count=len(scores),
            log_likelihood=mean,
            standard_error=float(scores.std()) / math.sqrt(len(scores)),
            bits_per_dim=float(bits_per_dim(mean, flow.dimensions)) if flow.is_image else None,
        )

    def figures(self) -> dict[str, float]:
        """The figures as a manifest states them, without those that do not apply."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def nats(self) -> tuple[str, str]:
        """Mean and standard error as text. Vectors get more places: their nats are few, an image's are thousands."""
        places = 4 if self.bits_per_dim is None else 2
        return f"{self.log_likelihood:.{places}f}", f"{self.standard_error:.{places}f}"

    def __str__(self) -> str:
        text = "{} ± {} nats".format(*self.nats())
        return text if self.bits_per_dim is None else f"{text}, {self.bits_per_dim:.3f} bits/dim"
