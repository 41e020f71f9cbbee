"""Linear preprocessing fitted to the training data, with a log-determinant that counts: standardising and whitening.

A paper that trains on whitened data and states the log-likelihood of the whitened data states another density. Here the
density stays that of the items themselves, so that figures with and without whitening can be compared.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flows.errors import ShapeMismatch
from flows.transforms.preprocessing import Centre
from flows.transforms.transform import Transform

_FLOOR = 1e-9
"""Of the mean variance, added to every one, so that none is zero. Dequantised pixels all vary by far more than that."""


class Standardise(Transform):
    """y = (x - mean) / std in every dimension of (B, D); log|det| = -sum of log std.

    ``initialise`` takes both from the batch it is given, so a table keeps its own units outside of the flow.
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

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        exact = x.double()
        std = exact.std(dim=0, correction=0)
        # A column of one value only has no scale of its own; one that is tiny, as an income in millions may be, has.
        self.log_std.copy_(torch.where(std > 0, std, 1.0).log())
        self.mean.copy_(exact.mean(dim=0))
        return self(x)[0]

    def extra_repr(self) -> str:
        return f"{self.mean.numel()}"


class Whitening(Transform):
    """y = W (x - mean) over (B, D), with the symmetric W that makes the training data uncorrelated; log|det W|.

    With C = U diag(v) U' the covariance of the training data, W = U diag(v)^(-1/2) U' is ZCA (Bell & Sejnowski
    1997, "The independent components of natural scenes are edge filters"): of all whitenings the one that changes the
    data least, so that an image still looks like itself.

    With fewer ``components`` than dimensions it is approximate: the leading directions are whitened each on its own,
    and the others share the one scale that their mean variance asks for. That needs D x components numbers, and the
    directions that hold next to nothing but noise are not blown up to the size of the rest.

    ``initialise`` fits it to the batch that it is given. The directions are kept as one long vector because a store may
    round matrices, and a rotation that is rounded is none.
    """

    mean: Tensor
    directions: Tensor
    log_scale: Tensor
    rest: Tensor

    def __init__(self, dimensions: int, components: int | None = None) -> None:
        super().__init__()
        self.dimensions, self.components = dimensions, dimensions if components is None else components
        if not 0 < self.components <= dimensions:
            raise ShapeMismatch(f"{components} components do not lie in {dimensions} dimensions")
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("directions", torch.eye(self.components, dimensions).flatten())
        self.register_buffer("log_scale", torch.zeros(self.components))
        self.register_buffer("rest", torch.zeros(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._scale(x - self.mean, sign=1), self._log_abs_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._scale(y, sign=-1) + self.mean, -self._log_abs_det.expand(y.shape[0])

    @property
    def _log_abs_det(self) -> Tensor:
        return self.log_scale.sum() + (self.dimensions - self.components) * self.rest

    def _scale(self, x: Tensor, sign: int) -> Tensor:
        """exp(±log_scale) along the directions, exp(±rest) along all others."""
        directions = self.directions.reshape(self.components, self.dimensions)
        leading, others = (sign * self.log_scale).exp(), (sign * self.rest).exp()
        # Autocast is for nets: a whitening in bfloat16 would drown in its own rounding.
        with torch.autocast(x.device.type, enabled=False):
            return ((x @ directions.T) * (leading - others)) @ directions + x * others

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        exact = x.double()
        mean = exact.mean(dim=0)
        covariance = (exact - mean).T @ (exact - mean) / len(x)
        variances, directions = torch.linalg.eigh(covariance)  # ascending, each direction a column
        variances = variances.clamp_min(0)
        floor = _FLOOR * variances.mean()
        variances = variances + torch.where(floor > torch.finfo(x.dtype).tiny, floor, 1.0)
        others, leading = variances.tensor_split([self.dimensions - self.components])
        self.mean.copy_(mean)
        self.directions.copy_(directions[:, -self.components :].T.flatten())
        self.log_scale.copy_(-leading.log() / 2)
        if len(others):
            self.rest.copy_(-others.mean().log() / 2)
        return self(x)[0]

    def extra_repr(self) -> str:
        return f"{self.dimensions}, components={self.components}"


WHITENINGS: dict[str, Callable[[int], Transform]] = {
    "none": Centre,
    "standardise": Standardise,
    "zca": Whitening,
    "approximate": lambda dimensions: Whitening(dimensions, max(1, dimensions // 8)),
}
"""What an architecture may begin with. The paper does not say what its approximate whitening is: this one is ours."""
