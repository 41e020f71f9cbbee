"""What is measured of an item: its likelihood, its complexity, and whether its latents look like draws of the prior."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from flows.anomaly.complexity import CONTEXTS, CodeLength, code_length
from flows.flow import Flow

_GRID, _BITS = 6, 8
_WINDOWS = 4
"""As many windows fit side by side into the shorter side of an image; half-way between them are more."""


def _regions(prefix: str, meaning: str) -> dict[str, str]:
    return {
        f"{prefix}_{row}_{column}": f"{meaning} in row {row}, column {column} of {_GRID} x {_GRID} regions"
        for row in range(1, _GRID + 1)
        for column in range(1, _GRID + 1)
    }


_CODE_REGIONS = _regions("region_bits", "code bits a pixel")
_LIKELY_REGIONS = _regions("region_log_likelihood", "nats a pixel")
_LONG = 6
"""So many bits, and more, a residual has at an edge alone."""
_TEXTURE = {
    f"texture_{context}_{bits[0]}": f"log of how many residuals of the code have {bits} bits in context {context}"
    for context in range(1, CONTEXTS + 1)
    for bits in (*map(str, range(_LONG)), f"{_LONG} or more")
}
STATISTICS: dict[str, str] = {
    "log_likelihood": "log p(x), nats",
    "code_bits": "bits of an adaptive lossless code of the image, made without any model",
    "correlation_across": "products of latents whose pixels are neighbours in a row, over all squares; 0 by the prior",
    "correlation_down": "the same of neighbours in a column",
    "least_saving": "bits a pixel that the flow saves over the code, in the window where it saves least",
    "most_saving": "the same in the window where it saves most",
    **_CODE_REGIONS,
    **_LIKELY_REGIONS,
    **_TEXTURE,
    "latent_mean": "mean of the latents, in units of the prior's standard deviation",
    "latent_energy": "log of their mean square",
    "latent_spread": "log of the variance of their log-densities",
}
"""Names and meanings of all statistics. A latent statistic sums over many latents, where likelihood only adds up."""


class Test(NamedTuple):
    """One question to an item: how thin is the density of these statistics, taken together, among held-out items?"""

    name: str
    telling: tuple[str, ...]
    """Those that mean something on their own ..."""
    many: tuple[str, ...] = ()
    """... and those of which none does."""

    @property
    def statistics(self) -> tuple[str, ...]:
        return self.telling + self.many


_IMAGE_TESTS = (
    Test("complexity", ("log_likelihood", "code_bits")),
    Test("correlation", ("correlation_across", "correlation_down")),
    Test("layout", (), tuple(_CODE_REGIONS)),
    Test("regions", ("least_saving", "most_saving"), tuple(_LIKELY_REGIONS)),
    Test("texture", (), tuple(_TEXTURE)),
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
    return _names(tests_of(flow))


@cache
def _names(tests: tuple[Test, ...]) -> tuple[str, ...]:
    return tuple(name for test in tests for name in test.statistics)


def statistics(flow: Flow, x: Tensor) -> Tensor:
    """Continuous points (B, *item_shape) -> (B, K) float64 on the CPU, columns as ``names_of`` says.

    Costs one forward pass; a row depends on its own point alone. Not differentiable.
    """
    return (_of_images if flow.is_image else _of_vectors)(flow, x).cpu()


def _of_images(flow: Flow, x: Tensor) -> Tensor:
    z, log_abs_det, shares = flow.encode_locally(x)
    densities = flow.prior.log_density(z)
    code = code_length(flow.to_items(x))
    likelihood = densities.flatten(1).sum(dim=1) + log_abs_det
    nats = (flow.in_place(densities) + shares).reshape(*x.shape[:3], -1).sum(dim=3)
    columns = (  # in the order of the tests' statistics
        torch.stack([likelihood.double(), code.bits], dim=1),
        _correlations(flow.in_place(z)),
        _by_region(code.pixels),
        _savings(flow, nats, code),
        _by_region(nats),
        _texture(code.counts),
    )
    return torch.cat([column.double() for column in columns], dim=1)


def _of_vectors(flow: Flow, x: Tensor) -> Tensor:
    z, log_abs_det = flow.encode(x)
    densities, scaled = flow.prior.log_density(z).flatten(1), z.flatten(1) / flow.prior.std
    columns = (  # in the order of the tests' statistics
        densities.sum(dim=1) + log_abs_det,
        scaled.mean(dim=1),
        scaled.square().mean(dim=1).log(),
        # Two latents of equal density have no spread at all: a floor keeps the logarithm finite.
        (densities.var(dim=1, correction=0) + 1e-6).log(),
    )
    return torch.stack([column.double() for column in columns], dim=1)


def _correlations(z: Tensor) -> Tensor:
    """(B, 2), across and down, of latents (B, H, W) or (B, H, W, C), each where its pixel is."""
    squares = z.square().flatten(1).sum(dim=1)
    products = z[:, :, 1:] * z[:, :, :-1], z[:, 1:] * z[:, :-1]
    return torch.stack([product.flatten(1).sum(dim=1) / squares for product in products], dim=1)


def _by_region(pixels: Tensor) -> Tensor:
    """Means (B, _GRID^2) of pixels (B, H, W), region by region."""
    return functional.adaptive_avg_pool2d(pixels[:, None], _GRID).flatten(1)


def _texture(counts: Tensor) -> Tensor:
    """(B, CONTEXTS * (_LONG + 1)) of how many residuals (B, CONTEXTS, bits) there are."""
    long = counts[:, :, _LONG:].sum(dim=2, keepdim=True)
    return (torch.cat([counts[:, :, :_LONG], long], dim=2).flatten(1) + 0.5).log()


def _savings(flow: Flow, nats: Tensor, code: CodeLength) -> Tensor:
    """(B, 2), the least and the most that a window's pixels save, from the log-likelihood (B, H, W) of each pixel.

    What is simple and yet unlikely, a patch over an ordinary picture say, stands out in its own window, where the whole
    picture hides it.
    """
    entries = flow.dimensions // math.prod(nats.shape[1:])
    saved = code.pixels - (_BITS * entries - nats / math.log(2))  # of densities on [0, 1] a level is 2^-8 wide
    side = max(min(saved.shape[1:]) // _WINDOWS, 1)
    rows = saved.unfold(1, side, max(side // 2, 1)).mean(dim=3)
    windows = rows.unfold(2, side, max(side // 2, 1)).mean(dim=3).flatten(1)
    return torch.stack([windows.amin(dim=1), windows.amax(dim=1)], dim=1)
