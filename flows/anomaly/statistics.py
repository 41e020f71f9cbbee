"""What is measured of an item: its likelihood, its complexity, and whether its latents look like draws of the prior."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flows.anomaly.complexity import code_length
from flows.flow import Flow

STATISTICS: dict[str, str] = {
    "log_likelihood": "log p(x), nats",
    "code_length": "bits of a general-purpose lossless code (DEFLATE over predicted pixels)",
    "latent_mean": "mean of the latents, in units of the prior's standard deviation",
    "latent_energy": "log of their mean square",
    "latent_spread": "log of the variance of their log-densities",
    "latent_correlation": "mean product of neighbours in a row; 0 under the prior",
    "latent_roughness": "log mean square difference between rows, over their mean square; log 2 under the prior",
}
"""Names and meanings of all statistics. A latent statistic sums over many latents, where likelihood only adds up."""


class Test(NamedTuple):
    """One question to an item: how thin is the density of these statistics, taken together, among held-out items?"""

    name: str
    statistics: tuple[str, ...]


_LATENT = ("latent_mean", "latent_energy", "latent_spread")
_IMAGE_TESTS = (
    Test("complexity", ("log_likelihood", "code_length")),
    Test("latent", (*_LATENT, "latent_correlation", "latent_roughness")),
)
_VECTOR_TESTS = (Test("likelihood", ("log_likelihood",)), Test("latent", _LATENT))


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
    found = {"log_likelihood": densities.sum(dim=1) + log_abs_det, **_latent_statistics(flow, z, densities)}
    if flow.is_image:
        found["code_length"] = code_length(flow.to_items(x))
    return torch.stack([found[name].double().cpu() for name in names_of(flow)], dim=1)


def _latent_statistics(flow: Flow, z: Tensor, densities: Tensor) -> dict[str, Tensor]:
    scaled = z.flatten(1) / flow.prior.std
    energy = scaled.square().mean(dim=1)
    found = {
        "latent_mean": scaled.mean(dim=1),
        "latent_energy": energy.log(),
        # Two latents of equal density have no spread at all: a floor keeps the logarithm finite.
        "latent_spread": (densities.var(dim=1, correction=0) + 1e-6).log(),
    }
    if flow.is_image:
        rows = scaled.reshape(len(z), flow.item_shape[0], -1)
        found["latent_correlation"] = (scaled[:, 1:] * scaled[:, :-1]).mean(dim=1)
        found["latent_roughness"] = rows.diff(dim=1).square().mean(dim=(1, 2)).log() - energy.log()
    return found
