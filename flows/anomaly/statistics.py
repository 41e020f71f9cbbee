"""The statistics of an item: its likelihood, its complexity, and how much its latents look like draws of the prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from flows.anomaly.complexity import CONTEXTS, CodeLength, code_length
from flows.flow import Flow

_GRID, _BITS = 6, 8
_WINDOWS = 4
"""The side of a window is the shorter side of an image divided by this. Windows overlap by half."""


def _regions(prefix: str, meaning: str) -> dict[str, str]:
    return {
        f"{prefix}_{row}_{column}": f"{meaning} in the region at row {row}, column {column} of a {_GRID} x {_GRID} grid"
        for row in range(1, _GRID + 1)
        for column in range(1, _GRID + 1)
    }


_CODE_REGIONS = _regions("region_bits", "bits of the code per pixel,")
_LIKELY_REGIONS = _regions("region_log_likelihood", "log-likelihood in nats per pixel,")
_LONG = 6
"""Residuals of this many bits or more occur at edges only, and share one count."""
_TEXTURE = {
    f"texture_{context}_{bits[0]}": f"log of the number of residuals of the code with {bits} bits in context {context}"
    for context in range(1, CONTEXTS + 1)
    for bits in (*map(str, range(_LONG)), f"{_LONG} or more")
}
_WAVES = 8
"""Cosines across, and down, that tell the shape of a picture: chosen among 5 to 10 on near sets of digits."""
_SHAPE = {
    f"shape_{row}_{column}": f"coefficient of the picture's cosines of order {row} down and {column} across"
    for row in range(_WAVES)
    for column in range(_WAVES)
}
STATISTICS: Mapping[str, str] = {
    "log_likelihood": "log p(x), nats",
    "code_bits": "length in bits of the image in an adaptive lossless code, which needs no model",
    "correlation_across": "products of neighbouring latents in a row over their squares, as sums; 0 under the prior",
    "correlation_down": "the same for neighbouring latents in a column",
    "least_saving": "bits per pixel that the flow saves over the code, in the window with the least saving",
    "most_saving": "the same in the window with the most saving",
    **_CODE_REGIONS,
    **_LIKELY_REGIONS,
    **_TEXTURE,
    **_SHAPE,
    "latent_mean": "mean of the latents, in units of the prior's standard deviation",
    "latent_energy": "log of the mean square of the latents, in the same units",
    "latent_spread": "log of the variance of the log-densities of the latents",
}
"""The name and meaning of every statistic."""


class Test(NamedTuple):
    """A test for atypical items: how low is the joint density of these statistics among held-out items?

    Or, of a test ``by_likeness``: how far are they from the nearest of held-out items?

    >>> [test.name for test in flows.anomaly.tests_of(flows.nice((28, 28), hidden=[4]))]
    ['complexity', 'correlation', 'layout', 'regions', 'texture', 'shape']
    >>> flows.anomaly.Test("size", ("width", "height")).statistics
    ('width', 'height')
    """

    name: str
    reported: tuple[str, ...]
    """Statistics that are meaningful on their own; a verdict reports their values."""
    joint: tuple[str, ...] = ()
    """Statistics that are meaningful only together, such as the regions of an image."""
    by_likeness: bool = False
    """Whether the score is that of ``Likeness``, and not of a density."""

    @property
    def statistics(self) -> tuple[str, ...]:
        """All statistics of the test, the reported ones first."""
        return self.reported + self.joint


_IMAGE_TESTS = (
    Test("complexity", ("log_likelihood", "code_bits")),
    Test("correlation", ("correlation_across", "correlation_down")),
    Test("layout", (), tuple(_CODE_REGIONS)),
    Test("regions", ("least_saving", "most_saving"), tuple(_LIKELY_REGIONS)),
    Test("texture", (), tuple(_TEXTURE)),
    Test("shape", (), tuple(_SHAPE), by_likeness=True),
)
"""A new test comes last: the columns of a calibration that was made before it are then the first ones."""
_VECTOR_TESTS = (
    Test("likelihood", ("log_likelihood",)),
    Test("latent", ("latent_mean", "latent_energy", "latent_spread")),
)


def tests_of(flow: Flow) -> tuple[Test, ...]:
    """The tests that make up the verdict on this flow's items."""
    return _IMAGE_TESTS if flow.is_image else _VECTOR_TESTS


def tests_named(flow: Flow, names: Sequence[str]) -> tuple[Test, ...]:
    """The first tests of ``tests_of``, whose statistics are those: all, or those of an earlier version of Sluice.

    Raises ValueError where the names are not of any first tests.
    """
    tests = tests_of(flow)
    for count in range(len(tests), 0, -1):
        if _names(tests[:count]) == tuple(names):
            return tests[:count]
    raise ValueError("the statistics are not those that this version of Sluice computes")


def names_of(flow: Flow) -> tuple[str, ...]:
    """The names of the columns of ``statistics``, in order."""
    return _names(tests_of(flow))


@cache
def _names(tests: tuple[Test, ...]) -> tuple[str, ...]:
    return tuple(name for test in tests for name in test.statistics)


def statistics(flow: Flow, x: Tensor) -> Tensor:
    """The statistics (B, K), float64, of continuous points (B, *item_shape), on the flow's device.

    ``names_of`` names the columns. Costs one forward pass. A row depends on its own point alone. Not differentiable.
    """
    return _image_statistics(flow, x)[0] if flow.is_image else _vector_statistics(flow, x)


def pixel_nats(flow: Flow, x: Tensor) -> Tensor:
    """The pixels (B, 2, H, W) of continuous points of an image flow, in nats, for maps of where they are strange.

    First each pixel's log-density, given those before it; they sum to the log-likelihood. Of a flow that maps pixels
    jointly, a latent's density stands at its pixel's place. Second, what the code of ``complexity`` needs for it.
    """
    z, _, shares = flow.encode_locally(x)
    return pixel_nats_of(flow, x, z, shares)


def pixel_nats_of(flow: Flow, x: Tensor, z: Tensor, shares: Tensor) -> Tensor:
    """``pixel_nats`` of points, given the latents and the shares that ``flow.encode_locally`` gives of them."""
    return _with_code(_log_densities(flow, flow.prior.log_density(z), shares), code_length(flow.to_items(x)))


def _log_densities(flow: Flow, densities: Tensor, shares: Tensor) -> Tensor:
    """The log-density (B, H, W) of each pixel."""
    local = flow.in_item_layout(densities) + shares
    return local.reshape(*local.shape[:3], -1).sum(dim=3)


def _with_code(nats: Tensor, code: CodeLength) -> Tensor:
    return torch.stack([nats.double(), math.log(2) * code.pixels.double()], dim=1)


def statistics_and_pixels(flow: Flow, x: Tensor) -> tuple[Tensor, Tensor]:
    """``statistics`` and ``pixel_nats`` of points of an image flow, in one forward pass."""
    found, nats, code = _image_statistics(flow, x)
    return found, _with_code(nats, code)


def _image_statistics(flow: Flow, x: Tensor) -> tuple[Tensor, Tensor, CodeLength]:
    """The statistics (B, K), the log-density (B, H, W) of each pixel, and the code of the pictures."""
    z, log_abs_det, shares = flow.encode_locally(x)
    densities = flow.prior.log_density(z)
    items = flow.to_items(x)
    code = code_length(items)
    likelihood = densities.flatten(1).sum(dim=1) + log_abs_det
    nats = _log_densities(flow, densities, shares)
    columns = (  # in the order of the tests' statistics
        torch.stack([likelihood.double(), code.bits], dim=1),
        _correlations(flow.in_item_layout(z)),
        _by_region(code.pixels),
        _savings(flow, nats, code),
        _by_region(nats),
        _texture(code.counts),
        _shape(items),
    )
    return torch.cat([column.double() for column in columns], dim=1), nats, code


def _vector_statistics(flow: Flow, x: Tensor) -> Tensor:
    z, log_abs_det = flow.encode(x)
    densities, scaled = flow.prior.log_density(z).flatten(1), z.flatten(1) / flow.prior.std
    columns = (  # in the order of the tests' statistics
        densities.sum(dim=1) + log_abs_det,
        scaled.mean(dim=1),
        scaled.square().mean(dim=1).log(),
        # Latents of equal density have variance 0: the floor keeps the logarithm finite.
        (densities.var(dim=1, correction=0) + 1e-6).log(),
    )
    return torch.stack([column.double() for column in columns], dim=1)


def _correlations(z: Tensor) -> Tensor:
    """Correlations (B, 2), across and down, of latents (B, H, W) or (B, H, W, C) at their pixels' places."""
    squares = z.square().flatten(1).sum(dim=1)
    products = z[:, :, 1:] * z[:, :, :-1], z[:, 1:] * z[:, :-1]
    return torch.stack([product.flatten(1).sum(dim=1) / squares for product in products], dim=1)


def _by_region(pixels: Tensor) -> Tensor:
    """Means (B, _GRID^2) of a value of each pixel (B, H, W) over the regions of the grid."""
    return functional.adaptive_avg_pool2d(pixels[:, None], _GRID).flatten(1)


def _texture(counts: Tensor) -> Tensor:
    """Log-counts (B, CONTEXTS * (_LONG + 1)) of residuals, from their counts (B, CONTEXTS, bits)."""
    long = counts[:, :, _LONG:].sum(dim=2, keepdim=True)
    return (torch.cat([counts[:, :, :_LONG], long], dim=2).flatten(1) + 0.5).log()


def _shape(items: Tensor) -> Tensor:
    """Cosine coefficients (B, _WAVES^2) of pictures (B, H, W) or (B, H, W, C) uint8, of the mean of their colours."""
    grey = items.float().flatten(3).mean(dim=3) if items.ndim > 3 else items.float()
    down, across = (_cosines(side, items.device) for side in grey.shape[1:])
    return (down @ grey @ across.T).flatten(1) / 255


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _cosines(side: int, device: torch.device) -> Tensor:
    """The first orthonormal cosines (_WAVES, side); zero for those that so few places cannot tell apart."""
    order = torch.arange(_WAVES, dtype=torch.float64, device=device)[:, None]
    place = torch.arange(side, dtype=torch.float64, device=device) + 0.5
    waves = (math.pi * order * place / side).cos() * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    return waves.where(order < side, 0.0).float()


def _savings(flow: Flow, nats: Tensor, code: CodeLength) -> Tensor:
    """The least and the most saving (B, 2) of any window, from the log-likelihood (B, H, W) of each pixel.

    Something simple and unlikely, such as a patch over an ordinary picture, is visible in its own window, while the
    rest of the picture hides it in the total. Windows begin at the upper left, half a side apart: where the sides are
    no multiple of that, the last rows and columns lie in none.
    """
    entries = flow.dimensions // math.prod(nats.shape[1:])
    saved = code.pixels - (_BITS * entries - nats / math.log(2))  # a grey level is 2^-8 wide in [0, 1]
    side = max(min(saved.shape[1:]) // _WINDOWS, 1)
    rows = saved.unfold(1, side, max(side // 2, 1)).mean(dim=3)
    windows = rows.unfold(2, side, max(side // 2, 1)).mean(dim=3).flatten(1)
    return torch.stack([windows.amin(dim=1), windows.amax(dim=1)], dim=1)
