"""What is measured of an item: its likelihood, its complexity, and whether its latents look like draws of the prior."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.complexity import code_length
from flows.flow import Flow

_GRID = 6

STATISTICS: dict[str, str] = {
    "log_likelihood": "log p(x), nats",
    "code_bits": "bits of an adaptive lossless code of the image, made without any model",
    "correlation_across": "products of latents whose pixels are neighbours in a row, over all squares; 0 by the prior",
    "correlation_down": "the same of neighbours in a column",
    **{
        f"region_bits_{row}_{column}": f"code bits a pixel in row {row}, column {column} of {_GRID} x {_GRID} regions"
        for row in range(1, _GRID + 1)
        for column in range(1, _GRID + 1)
    },
    "latent_mean": "mean of the latents, in units of the prior's standard deviation",
    "latent_energy": "log of their mean square",
    "latent_spread": "log of the variance of their log-densities",
}
"""Names and meanings of all statistics. A latent statistic sums over many latents, where likelihood only adds up."""


class Test(NamedTuple):
    """One question to an item: how thin is the density of these statistics, taken together, among held-out items?"""

    name: str
    statistics: tuple[str, ...]
    telling: bool = True
    """Whether a statistic means something on its own: none of many regions does."""


_REGIONS = tuple(name for name in STATISTICS if name.startswith("region_bits_"))
_IMAGE_TESTS = (
    Test("complexity", ("log_likelihood", "code_bits")),
    Test("correlation", ("correlation_across", "correlation_down")),
    Test("layout", _REGIONS, telling=False),
)
_VECTOR_TESTS = (
    Test("likelihood", ("log_likelihood",)),
    Test("latent", ("latent_mean", "latent_energy", "latent_spread")),
)


def tests_of(flow: Flow) -> tuple[Test, ...]:
    """The tests that make the verdict on this flow's items."""
    return _IMAGE_TESTS if flow.is_image else _VECTOR_TESTS


def names_of(flow: Flow) -> tuple[str, ...]:
    """The columns of ``statistics``, in order."""
    return tuple(name for test in tests_of(flow) for name in test.statistics)


def statistics(flow: Flow, x: Tensor) -> Tensor:
    """Continuous points (B, *item_shape) -> (B, K) float64 on the CPU, columns as ``names_of`` says.

    Costs one forward pass; a row depends on its own point alone. Not differentiable.
    """
    z, log_abs_det = flow.encode(x)
    densities = flow.prior.log_density(z).flatten(1)
    found = {"log_likelihood": densities.sum(dim=1) + log_abs_det}
    if flow.is_image:
        code = code_length(flow.to_items(x), _GRID)
        found |= {"code_bits": code.bits, **dict(zip(_REGIONS, code.regions.flatten(1).T, strict=True))}
        found |= _correlations(flow.in_place(z))
    else:
        found |= _vector_statistics(z.flatten(1) / flow.prior.std, densities)
    return torch.stack([found[name].double() for name in names_of(flow)], dim=1).cpu()


def _correlations(z: Tensor) -> dict[str, Tensor]:
    """Of latents (B, H, W) or (B, H, W, C), each where its pixel is."""
    squares = z.square().flatten(1).sum(dim=1)
    products = {"correlation_across": z[:, :, 1:] * z[:, :, :-1], "correlation_down": z[:, 1:] * z[:, :-1]}
    return {name: product.flatten(1).sum(dim=1) / squares for name, product in products.items()}


def _vector_statistics(scaled: Tensor, densities: Tensor) -> dict[str, Tensor]:
    """Of latents (B, D) and their log-densities (B, D)."""
    return {
        "latent_mean": scaled.mean(dim=1),
        "latent_energy": scaled.square().mean(dim=1).log(),
        # Two latents of equal density have no spread at all: a floor keeps the logarithm finite.
        "latent_spread": (densities.var(dim=1, correction=0) + 1e-6).log(),
    }
