"""Linear preprocessing fitted to the training data: standardising and whitening, with their log-determinants.

The log-likelihood of whitened data is another density than that of the data. With the log-determinant the density is
always that of the items themselves, so figures with and without whitening can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from flows.errors import ShapeMismatch
from flows.transforms.preprocessing import Centre
from flows.transforms.transform import Transform

_FLOOR = 1e-9
"""As a share of the mean variance, added to every variance so that none is zero. Dequantised pixels vary far more."""

_PART = 5000
"""Items that are converted to float64 at a time."""


class Standardise(Transform):
    """y = (x - mean) / std in every dimension of (B, D); log|det| = -sum of log std.

    ``initialise`` takes both from its batch. So a table can keep its own units outside of the flow.

    >>> standardise = flows.Standardise(1)
    >>> standardise.initialise(torch.tensor([[1000.0], [3000.0]])).round(decimals=3)
    tensor([[-1.],
            [ 1.]])
    """

    mean: Tensor
    log_std: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("log_std", torch.zeros(dimensions))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x - self.mean) * (-self.log_std).exp(), -self.log_std.sum().expand(x.shape[0])

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y * self.log_std.exp() + self.mean, self.log_std.sum().expand(y.shape[0])

    def matrix(self) -> tuple[Tensor, Tensor]:
        """M (D, D) with y = (x - mean) M for rows x, and log|det M|."""
        return (-self.log_std).exp().diag(), -self.log_std.sum()

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        exact = x.double()
        std = exact.std(dim=0, correction=0)
        # A constant column has no scale. A tiny deviation is a scale: an income in millions, for example.
        self.log_std.copy_(torch.where(std > 0, std, 1.0).log())
        self.mean.copy_(exact.mean(dim=0))
        return self(x)[0]

    def extra_repr(self) -> str:
        return f"{self.mean.numel()}"


class Whitening(Transform):
    """y = W (x - mean) over (B, D), with the symmetric W that makes the training data uncorrelated.

    With C = U diag(v) U' the covariance of the training data, W = U diag(v)^(-1/2) U' is ZCA (Bell & Sejnowski 1997,
    "The independent components of natural scenes are edge filters"): of all whitenings the one that changes the data
    least, so an image still looks like itself. log|det| = log|det W|.

    With fewer ``components`` than dimensions the whitening is approximate: the leading directions are scaled one by
    one, all others by the common scale of their mean variance. This stores D x components numbers, and it does not
    enlarge directions that hold little but noise.

    With ``shrunk`` the covariance is mixed with a multiple of the identity, by the weight that suits normal data of so
    many rows (Chen, Wiesel, Eldar & Hero 2010, "Shrinkage algorithms for MMSE covariance estimation", eq. 23).

    With ``robust`` each item counts by the inverse of its mean square after a first whitening: one round of Tyler 1987,
    "A distribution-free M-estimator of multivariate scatter". Natural images differ much in contrast, and the few of
    high contrast decide a plain covariance, which therefore fits other images worse than those it comes from.

    ``initialise`` fits the whitening to its batch. The directions are stored as one long vector because a store may
    round matrices, and a rounded rotation is no rotation.

    >>> x = torch.randn(500, 3) @ torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 5.0]])
    >>> y = flows.Whitening(3).initialise(x)
    >>> torch.allclose(torch.cov(y.T, correction=0), torch.eye(3), atol=1e-3)
    True
    """

    mean: Tensor
    directions: Tensor
    log_scale: Tensor
    rest: Tensor

    def __init__(
        self, dimensions: int, components: int | None = None, shrunk: bool = False, robust: bool = False
    ) -> None:
        super().__init__()
        self.shrunk, self.robust = shrunk, robust
        self.dimensions, self.components = dimensions, dimensions if components is None else components
        if not 0 < self.components <= dimensions:
            raise ShapeMismatch(
                f"components must be from 1 to {dimensions}, the number of dimensions, got {components}"
            )
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("directions", torch.eye(self.components, dimensions).flatten())
        self.register_buffer("log_scale", torch.zeros(self.components))
        self.register_buffer("rest", torch.zeros(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._scale(x - self.mean, sign=1), self._log_abs_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._scale(y, sign=-1) + self.mean, -self._log_abs_det.expand(y.shape[0])

    def matrix(self) -> tuple[Tensor, Tensor]:
        """M (D, D) with y = (x - mean) M for rows x, and log|det M|."""
        return self._scale(torch.eye(self.dimensions).to(self.directions), sign=1), self._log_abs_det

    @property
    def _log_abs_det(self) -> Tensor:
        return self.log_scale.sum() + (self.dimensions - self.components) * self.rest

    def _scale(self, x: Tensor, sign: int) -> Tensor:
        """Scale x by exp(±log_scale) along the directions and by exp(±rest) along all others."""
        directions = self.directions.reshape(self.components, self.dimensions)
        leading, others = (sign * self.log_scale).exp(), (sign * self.rest).exp()
        # Autocast to a half type is meant for nets: here its rounding would exceed the small directions.
        with torch.autocast(x.device.type, enabled=False):
            return ((x @ directions.T) * (leading - others)) @ directions + x * others

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        mean = torch.stack([part.double().sum(dim=0) for part in torch.split(x, _PART)]).sum(dim=0) / len(x)
        self.mean.copy_(mean)
        self._fit(_covariance(x, mean, x.new_ones(len(x))), len(x))
        if self.robust:
            squares = torch.cat([self(part)[0].square().mean(dim=1) for part in torch.split(x, _PART)])
            self._fit(_covariance(x, mean, 1 / squares.clamp_min(torch.finfo(x.dtype).tiny)), len(x))
        return self(x)[0]

    def _fit(self, covariance: Tensor, count: int) -> None:
        """Set directions and scales to those of a covariance (D, D), float64, that was estimated from so many rows."""
        if self.shrunk:
            covariance = _shrunk(covariance, count)
        variances, directions = torch.linalg.eigh(covariance)  # ascending, each direction a column
        variances = variances.clamp_min(0)
        floor = _FLOOR * variances.mean()
        variances = variances + torch.where(floor > torch.finfo(self.rest.dtype).tiny, floor, 1.0)
        others, leading = variances.tensor_split([self.dimensions - self.components])
        self.directions.copy_(directions[:, -self.components :].T.flatten())
        self.log_scale.copy_(-leading.log() / 2)
        if len(others):
            self.rest.copy_(-others.mean().log() / 2)

    def extra_repr(self) -> str:
        return f"{self.dimensions}, components={self.components}"


def _covariance(x: Tensor, mean: Tensor, weights: Tensor) -> Tensor:
    """The covariance (D, D), float64, of rows x (N, D) about their mean, each with its weight (N,)."""
    covariance, total = mean.new_zeros(len(mean), len(mean)), weights.double().sum()
    for part, own in zip(torch.split(x, _PART), torch.split(weights, _PART), strict=True):
        centred = (part.double() - mean) * own.double().sqrt()[:, None]
        covariance += centred.T @ centred / total
    return covariance


def _shrunk(covariance: Tensor, count: int) -> Tensor:
    """The covariance (D, D) of ``count`` rows, mixed with its mean variance by oracle approximating shrinkage."""
    dimensions = len(covariance)
    mean = covariance.trace() / dimensions
    squares = covariance.square().sum()
    above = (1 - 2 / dimensions) * squares + (dimensions * mean) ** 2
    below = (count + 1 - 2 / dimensions) * (squares - dimensions * mean**2)
    weight = (above / below.clamp_min(torch.finfo(covariance.dtype).tiny)).clamp(0, 1)
    return (1 - weight) * covariance + weight * mean * torch.eye(dimensions).to(covariance)


WHITENINGS: Mapping[str, Callable[[int], Transform]] = {
    "none": Centre,
    "standardise": Standardise,
    "zca": Whitening,
    "robust-zca": lambda dimensions: Whitening(dimensions, robust=True),
    "approximate": lambda dimensions: Whitening(dimensions, max(1, dimensions // 8)),
}
"""The choices for the first transform of NICE. The paper does not define its approximate whitening: this is ours."""
