"""How good a flow is: the mean log-likelihood of held-out items, with the error that a finite test set leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flows import Flow, Prior, bits_per_dim


@torch.no_grad()
def log_likelihoods(flow: Flow, items: Tensor, batch_size: int = 500) -> Tensor:
    """Items (N, *item_shape) as a user sends them -> nats (N,), float64 on the CPU, nets in the flow's own dtype.

    Images get the dequantisation noise that the service gives them at seed 0, so the figure is the one it will answer.
    """
    batches = (items[first : first + batch_size] for first in range(0, max(1, len(items)), batch_size))
    return torch.cat([flow.log_prob(flow.to_continuous(batch)).double().cpu() for batch in batches])


@dataclass(frozen=True)
class Latents:
    """How the latents of held-out items spread, all dimensions together, beside how draws of the prior do."""

    values: Tensor
    """(N, D), on the CPU."""
    prior: Prior

    @classmethod
    @torch.no_grad()
    def of(cls, flow: Flow, items: Tensor, batch_size: int = 500) -> Latents:
        """From items (N, *item_shape) as a user sends them."""
        batches = torch.split(items, batch_size)
        values = torch.cat([flow.encode(flow.to_continuous(batch))[0].flatten(1).cpu() for batch in batches])
        return cls(values, flow.prior)

    def statistics(self) -> dict[str, tuple[float, float]]:
        """What can be said of them in one number each: theirs and the prior's."""
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
    """Figures of one split. Nats per item; bits per dimension only where items are images of 8-bit pixels."""

    count: int
    log_likelihood: float
    standard_error: float
    bits_per_dim: float | None

    @classmethod
    def of(cls, flow: Flow, scores: Tensor) -> Quality:
        """From the log-likelihoods (N,) of a split under a flow."""
        mean = float(scores.mean())
        return cls(
            count=len(scores),
            log_likelihood=mean,
            standard_error=float(scores.std()) / math.sqrt(len(scores)),
            bits_per_dim=float(bits_per_dim(mean, flow.dimensions)) if flow.is_image else None,
        )

    def figures(self) -> dict[str, float]:
        """As a manifest states them: what does not apply is left out."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def nats(self) -> tuple[str, str]:
        """Mean and standard error as text: an image's nats run into the thousands, a point's are a handful."""
        places = 4 if self.bits_per_dim is None else 2
        return f"{self.log_likelihood:.{places}f}", f"{self.standard_error:.{places}f}"

    def __str__(self) -> str:
        text = "{} ± {} nats".format(*self.nats())
        return text if self.bits_per_dim is None else f"{text}, {self.bits_per_dim:.3f} bits/dim"
