"""What is measured of an item: its likelihood, its complexity, and whether its latents look like draws of the prior."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from flows.anomaly.complexity import code_bits
from flows.flow import Flow

_GRID = 4

STATISTICS: dict[str, str] = {
    "log_likelihood": "log p(x), nats",
    "code_bits": "bits of an adaptive lossless code of the image, made without any model",
    "correlation_across": "mean product of latents that follow each other, over their mean square; 0 under the prior",
    "correlation_down": "the same of latents a row apart",
    **{
        f"region_{row}_{column}": f"mean latent in row {row}, column {column} of {_GRID} x {_GRID} regions"
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


_REGIONS = tuple(name for name in STATISTICS if name.startswith("region_"))
_IMAGE_TESTS = (
    Test("complexity", ("log_likelihood", "code_bits")),
    Test("correlation", ("correlation_across", "correlation_down")),
    Test("layout", _REGIONS),
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
    scaled = z.flatten(1) / flow.prior.std
    if flow.is_image:
        found |= {"code_bits": code_bits(flow.to_items(x)), **_image_statistics(flow, scaled)}
    else:
        found |= _vector_statistics(scaled, densities)
    return torch.stack([found[name].double() for name in names_of(flow)], dim=1).cpu()


def _image_statistics(flow: Flow, scaled: Tensor) -> dict[str, Tensor]:
    """Of latents (B, D), read in the order of the image's rows.

    A flow may keep another order; then other latents are neighbours, and held-out items tell what is ordinary of those.
    """
    rows = flow.item_shape[0]
    energy = scaled.square().mean(dim=1)
    lags = {"correlation_across": 1, "correlation_down": scaled.shape[1] // rows}
    found = {name: (scaled[:, lag:] * scaled[:, :-lag]).mean(dim=1) / energy for name, lag in lags.items()}
    regions = functional.adaptive_avg_pool2d(scaled.reshape(len(scaled), 1, rows, -1), _GRID).flatten(1)
    return found | dict(zip(_REGIONS, regions.T, strict=True))


def _vector_statistics(scaled: Tensor, densities: Tensor) -> dict[str, Tensor]:
    """Of latents (B, D) and their log-densities (B, D)."""
    return {
        "latent_mean": scaled.mean(dim=1),
        "latent_energy": scaled.square().mean(dim=1).log(),
        # Two latents of equal density have no spread at all: a floor keeps the logarithm finite.
        "latent_spread": (densities.var(dim=1, correction=0) + 1e-6).log(),
    }
