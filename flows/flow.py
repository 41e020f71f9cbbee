"""A normalizing flow: preprocessing and network transforms, then a prior."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flows import noise
from flows.completion import Completion
from flows.errors import ShapeMismatch
from flows.priors import Prior
from flows.transforms.columns import DequantiseColumns
from flows.transforms.preprocessing import Dequantise
from flows.transforms.transform import Compose, Transform, within_domain

_CANDIDATES = 32
"""Completions of an item with missing entries, of which the flow chooses one."""


class Flow(nn.Module):
    """The density p(x) = prior(f(x)) |det df/dx| over items of one shape, with f the composition of ``transforms``.

    An *image* flow has ``dequantise``: its items are 8-bit pixels (H, W) or (H, W, C), and its density is over pixels
    scaled to [0, 1]. A *vector* flow has none: its items are floats (D,), and its density is in data units. With
    ``columns`` the vectors are rows of a table: columns with steps are dequantised, and entries may be missing (NaN).

    ``log_prob``, ``encode``, ``decode`` and ``sample`` work on continuous points (B, *item_shape). ``to_continuous``
    and ``to_items`` convert between these and the items that a user sends and gets.

    >>> transforms = [flows.Flatten((2, 2)), flows.DiagonalScaling(4)]
    >>> flow = flows.Flow((2, 2), transforms, flows.StandardLogistic((4,)), flows.Dequantise())
    >>> items = torch.randint(0, 256, (3, 2, 2), dtype=torch.uint8)
    >>> x = flow.to_continuous(items)
    >>> flow.log_prob(x).shape
    torch.Size([3])
    >>> torch.equal(flow.to_items(flow.decode(flow.encode(x)[0])[0]), items)
    True
    """

    _anchor: Tensor

    def __init__(
        self,
        item_shape: Sequence[int],
        transforms: Sequence[Transform],
        prior: Prior,
        dequantise: Dequantise | None = None,
        columns: DequantiseColumns | None = None,
    ) -> None:
        super().__init__()
        self.item_shape = tuple(item_shape)
        self.dequantise = dequantise
        self.columns = columns
        self.completion = None if columns is None else Completion(len(columns.steps))
        self.transforms = Compose(transforms)
        self.prior = prior
        # Moves with the flow and tells its device and dtype. Parameters cannot: all of them may belong to nets, which
        # have a precision of their own. It is not saved, so it exists before weights are loaded.
        self.register_buffer("_anchor", torch.empty(0, device="cpu"), persistent=False)

    @property
    def is_image(self) -> bool:
        """Whether items are 8-bit pixels."""
        return self.dequantise is not None

    @property
    def dimensions(self) -> int:
        """The number of entries of an item."""
        return math.prod(self.item_shape)

    @property
    def device(self) -> torch.device:
        """The device of latents and densities."""
        return self._anchor.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of latents and densities."""
        return self._anchor.dtype

    def forward(self, x: Tensor) -> Tensor:
        """The same as ``log_prob``, so that wrappers of modules, such as data-parallel training, can train a flow."""
        return self.log_prob(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """x (B, *item_shape), continuous -> log-likelihood (B,), in nats."""
        z, log_abs_det = self.encode(x)
        return self.prior.log_prob(z) + log_abs_det

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, *item_shape), continuous -> latent z (B, *prior.shape) and log|det dz/dx| (B,)."""
        self.check(x)
        z, log_abs_det = self.transforms(x)
        return z, log_abs_det

    def check(self, x: Tensor) -> None:
        """Raise ShapeMismatch unless x holds items of this flow's shape."""
        if tuple(x.shape[1:]) != self.item_shape:
            raise ShapeMismatch(f"expected items of shape {self.item_shape}, got {tuple(x.shape[1:])}")

    def encode_locally(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The results of ``encode``, and the share of each entry (B, *item_shape) in log|det dz/dx|.

        By default every entry has the same share. A flow that maps entries one by one, given others, overrides this
        with the log-slope of each entry.
        """
        z, log_abs_det = self.encode(x)
        shares = (log_abs_det / self.dimensions).reshape(-1, *[1] * len(self.item_shape))
        return z, log_abs_det, shares.expand(x.shape)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Latent z (B, *prior.shape) -> x (B, *item_shape), continuous, and log|det dx/dz| (B,)."""
        if tuple(z.shape[1:]) != self.prior.shape:
            raise ShapeMismatch(f"expected latents of shape {self.prior.shape}, got {tuple(z.shape[1:])}")
        x, log_abs_det = self.transforms.inverse(z)
        return x, log_abs_det

    def in_item_layout(self, z: Tensor) -> Tensor:
        """Latents (B, *prior.shape) -> (B, *item_shape), each at the place of the entry that it comes from."""
        return self.transforms.put_back(z).reshape(len(z), *self.item_shape)

    def sample(self, n: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """n items (n, *item_shape), continuous, in the flow's dtype and on its device.

        ``temperature`` multiplies the latents: below 1 the samples are closer to the mode.
        """
        z = self.prior.sample(n, generator) * temperature
        return self.decode(z.to(self.device, self.dtype))[0]

    def to_continuous(self, items: Tensor, seed: int | Tensor = 0) -> Tensor:
        """Items (B, *item_shape) -> continuous points (B, *item_shape), in the flow's dtype and on its device.

        Pixels, as uint8 or as floats in [0, 1], become 8-bit levels and get dequantisation noise. The noise follows
        from the seed, one or (B,) int64, and from the item itself, so an item's result does not depend on its
        neighbours. Floats v become the level floor(256 v), which is k both for k/255 and for (k + u)/256.

        Rows of a table get noise in the columns that have steps. Missing entries are drawn given the others: the flow
        weighs 32 draws of its ``completion`` by p / q and takes one (sampling importance resampling, Rubin 1987). So a
        completed row is distributed like a complete one, as far as the flow knows. Other vectors are only converted.
        """
        self.check(items)
        items = items.to(self.device)
        if self.columns is not None:
            return self._row_points(items, seed)
        if self.dequantise is None:
            return items.to(self.dtype)
        levels = self.to_items(items) if items.is_floating_point() else items
        draws = noise.uniform(noise.content_keys(levels, seed), self.item_shape)
        x, _ = self.dequantise(levels.to(self.dtype), draws.to(self.dtype))
        if not items.is_floating_point():
            return x
        inside = (items >= 0) & (items <= 1)  # false for NaN too
        return within_domain(x, inside, "pixels given as floats must lie in [0, 1]")

    @torch.no_grad()
    def _row_points(self, items: Tensor, seed: int | Tensor) -> Tensor:
        """``to_continuous`` of rows (B, D) of a table."""
        assert self.columns is not None
        assert self.completion is not None
        single = torch.where(items.isnan(), torch.nan, items.float()) + 0.0  # one NaN, and one zero
        keys = noise.content_keys(single.view(torch.int32), seed)
        x, _ = self.columns(items.to(self.dtype), noise.uniform(keys, self.item_shape))
        gone = x.isnan().any(dim=1)
        if x.device.type != "cpu":  # rows are not chosen by their values there: the host would wait for them
            return self._completed(x, noise.derive(keys, 1))
        if bool(gone.any()):
            x[gone] = self._completed(x[gone], noise.derive(keys[gone], 1))
        return x

    def _completed(self, x: Tensor, keys: Tensor) -> Tensor:
        """x (B, D) with NaN where an entry is missing -> x with these drawn, by keys (B,)."""
        assert self.completion is not None
        each = torch.arange(_CANDIDATES, device=keys.device).repeat(len(x))
        normals = noise.normal(noise.derive(keys.repeat_interleave(_CANDIDATES), each), self.item_shape)
        candidates, log_q = self.completion.draw(x.repeat_interleave(_CANDIDATES, dim=0), normals)
        log_weights = (self.log_prob(candidates).double() - log_q).nan_to_num(-math.inf, posinf=-math.inf)
        u = noise.uniform(noise.derive(keys, _CANDIDATES), (_CANDIDATES,))
        gumbel = -(-u.log()).log()  # the greatest of log-weights with such noise is a draw by the weights
        chosen = (log_weights.reshape(-1, _CANDIDATES) + gumbel).argmax(dim=1)
        return candidates.reshape(len(x), _CANDIDATES, -1)[torch.arange(len(x), device=x.device), chosen]

    def to_items(self, x: Tensor) -> Tensor:
        """Continuous points (B, *item_shape) -> items: uint8 pixels of an image flow, the points of a vector flow.

        In columns of a table that have steps, a point becomes the nearest value.
        """
        if self.columns is not None:
            return self.columns.inverse(x)[0]
        return x if self.dequantise is None else self.dequantise.inverse(x)[0].to(torch.uint8)

    def extra_repr(self) -> str:
        return f"item_shape={self.item_shape}"

    def fit_completion(self, items: Tensor) -> None:
        """Fit what missing entries of a table's rows are drawn from, to training items (N, D). Others need nothing."""
        if self.columns is not None and self.completion is not None:
            self.completion.fit(self.columns(items.to(self.device, self.dtype))[0])

    def initialise(self, x: Tensor) -> None:
        """Set all data-dependent parameters from one batch x (B, *item_shape) of continuous training points."""
        self.transforms.initialise(x)


def bits_per_dim(log_likelihood: Tensor | float, dimensions: int, levels: int = 256) -> Tensor | float:
    """Bits per dimension from the log-likelihood LL in nats per item over [0, 1] pixels: log2(levels) - LL / (D ln 2).

    ``dimensions`` is D, the true number of pixels (784 for 28x28), never a padded size.

    >>> round(flows.bits_per_dim(1980.50, 784), 2)
    4.36
    """
    return math.log2(levels) - log_likelihood / (dimensions * math.log(2))
