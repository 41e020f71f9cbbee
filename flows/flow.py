"""A flow: preprocessing and network transforms in front of a prior. One model, three jobs: sample, score, inpaint."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flows import noise
from flows.errors import InputOutsideDomain, ShapeMismatch
from flows.priors import Prior
from flows.transforms.preprocessing import Dequantise
from flows.transforms.transform import Compose, Transform


class Flow(nn.Module):
    """The density p(x) = prior(f(x)) |det df/dx| over items of one shape.

    An *image* flow has ``dequantise``: its items are 8-bit pixels (H, W) or (H, W, C), and its density lives on
    pixels scaled to [0, 1]. A *vector* flow has none: items are floats (D,), the density is in data units.

    ``log_prob``, ``encode`` and ``decode`` take and give points of the continuous space; ``to_continuous`` and
    ``to_items`` go between it and what a user sends or gets.
    """

    _anchor: Tensor

    def __init__(
        self,
        item_shape: Sequence[int],
        transforms: Sequence[Transform],
        prior: Prior,
        dequantise: Dequantise | None = None,
    ) -> None:
        super().__init__()
        self.item_shape = tuple(item_shape)
        self.dequantise = dequantise
        self.transforms = Compose(transforms)
        self.prior = prior
        # Goes where the flow goes: its parameters may all be of nets, which have a precision of their own. No state, so
        # it is there even where the weights are not (the meta device).
        self.register_buffer("_anchor", torch.empty(0, device="cpu"), persistent=False)

    @property
    def is_image(self) -> bool:
        return self.dequantise is not None

    @property
    def dimensions(self) -> int:
        return math.prod(self.item_shape)

    @property
    def device(self) -> torch.device:
        return self._anchor.device

    @property
    def dtype(self) -> torch.dtype:
        return self._anchor.dtype

    def forward(self, x: Tensor) -> Tensor:
        """The same as ``log_prob``, so that a wrapper that only knows modules (data-parallel, say) can train a flow."""
        return self.log_prob(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """x (B, *item_shape), continuous -> log-likelihood (B,), in nats."""
        z, log_abs_det = self.encode(x)
        return self.prior.log_prob(z) + log_abs_det

    @property
    def has_sharp_modes(self) -> bool:
        """Whether a search that follows the gradient of ``log_prob`` gets caught wherever it begins."""
        return False

    def landscape(self, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """x (B, *item_shape), width (B,) in data units -> log_prob (B,), and the same with modes at least so wide.

        The second is for searches that begin with a large width and end with a small one, and alone has a gradient.
        It is no density, and where modes are not sharp it is ``log_prob`` itself.
        """
        log_prob = self.log_prob(x)
        return log_prob.detach(), log_prob

    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, *item_shape) with the chosen entries (B, *item_shape), bool, drawn anew, for flows with sharp modes.

        Each is drawn from its density given the entries before it in the flow's own order, old or new, by its uniform
        draw (B, *item_shape), float64. Also gives each entry's log-density given those before it (B, *item_shape),
        chosen or not: their sum is the log-likelihood of what was drawn.
        """
        raise NotImplementedError

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, *item_shape), continuous -> latent z (B, *prior.shape) and log|det dz/dx| (B,)."""
        self.check(x)
        z, log_abs_det = self.transforms(x)
        return z, log_abs_det

    def check(self, x: Tensor) -> None:
        """Raises ShapeMismatch where x does not hold items of this flow."""
        if tuple(x.shape[1:]) != self.item_shape:
            raise ShapeMismatch(f"expected items of shape {self.item_shape}, got {tuple(x.shape[1:])}")

    def encode_locally(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What ``encode`` gives of x, and entry by entry (B, *item_shape) what each adds to log|det dz/dx|.

        Where a flow does not tell entries apart, all add the same.
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

    def in_place(self, z: Tensor) -> Tensor:
        """Latents (B, *prior.shape) -> (B, *item_shape), each where the entry of an item stands that it came from."""
        return self.transforms.put_back(z).reshape(len(z), *self.item_shape)

    def sample(self, n: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """n items (n, *item_shape), continuous, in the flow's dtype and on its device.

        ``temperature`` multiplies the latents: below 1 the samples crowd towards the mode.
        """
        z = self.prior.sample(n, generator) * temperature
        return self.decode(z.to(self.device, self.dtype))[0]

    def to_continuous(self, items: Tensor, seed: int = 0) -> Tensor:
        """What a user sends -> the flow's continuous space, in its dtype and on its device.

        Pixels, as uint8 or as floats in [0, 1], become 8-bit levels and get dequantisation noise that follows from the
        seed and from the item itself, so that an item's answer does not depend on its neighbours. Floats are binned
        by floor(256 v), which takes k/255 and (k + u)/256 to the same k. Vectors pass through.
        """
        self.check(items)
        items = items.to(self.device)
        if self.dequantise is None:
            return items.to(self.dtype)
        levels = self.quantise(items)
        draws = noise.uniform(noise.content_keys(levels, seed), self.item_shape)
        return self.dequantise(levels.to(self.dtype), draws.to(self.dtype))[0]

    def to_items(self, x: Tensor) -> Tensor:
        """Continuous (B, *item_shape) -> what a user gets: uint8 pixels, or the vectors themselves."""
        return x if self.dequantise is None else self.dequantise.inverse(x)[0].to(torch.uint8)

    def quantise(self, items: Tensor) -> Tensor:
        """Pixels as uint8, or as floats in [0, 1], to integer levels (B, *item_shape) of an image flow."""
        if not items.is_floating_point():
            return items
        if not bool(((items >= 0) & (items <= 1)).all()):  # also false for NaN
            raise InputOutsideDomain("pixels given as floats must lie in [0, 1]")
        return self.to_items(items)

    def initialise(self, x: Tensor) -> None:
        """Set every data-dependent parameter from one continuous batch x (B, *item_shape) of the training set."""
        self.transforms.initialise(x)


def bits_per_dim(log_likelihood: Tensor | float, dimensions: int, levels: int = 256) -> Tensor | float:
    """Nats per item over [0, 1] pixels to bits per pixel of the integers: log2(levels) - LL / (D ln 2).

    ``dimensions`` counts the true pixels (28x28 is 784), never a padded size.
    """
    return math.log2(levels) - log_likelihood / (dimensions * math.log(2))
