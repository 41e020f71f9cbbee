"""Corrupted copies of ordinary items, against which the verdicts of every model are measured.

Each corruption takes images (N, H, W) or (N, H, W, C) uint8, or vectors (N, D), and returns as many. No training and
no calibration uses them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_SEED = 20
_PATCH = 8
"""Pixels of a side of the pasted square, at most: of smaller images it has the shorter side."""

Corruption = Callable[[Tensor, torch.Generator], Tensor]


def corruptions(items: Tensor) -> dict[str, Tensor]:
    """Every corruption of these images or vectors by name, the same on every machine."""
    return {name: corrupt(items, torch.Generator().manual_seed(_SEED)) for name, corrupt in _suitable(items).items()}


def _suitable(items: Tensor) -> dict[str, Corruption]:
    if items.ndim == 2:
        return VECTOR_CORRUPTIONS
    return CORRUPTIONS if items.shape[1] == items.shape[2] else OBLONG_CORRUPTIONS


def _noise(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, images.shape, generator=generator, dtype=torch.uint8)


def _constant(images: Tensor, generator: torch.Generator) -> Tensor:
    grey = torch.randint(0, 256, (len(images), *[1] * (images.ndim - 1)), generator=generator, dtype=torch.uint8)
    return grey.expand_as(images).clone()


def _inverted(images: Tensor, _: torch.Generator) -> Tensor:
    return 255 - images


def _turned(images: Tensor, _: torch.Generator) -> Tensor:
    return torch.rot90(images, 1, (1, 2)).contiguous()


def _upside_down(images: Tensor, _: torch.Generator) -> Tensor:
    """Turned by 180 degrees: a quarter turn would give oblong images another shape."""
    return torch.rot90(images, 2, (1, 2)).contiguous()


def _shuffled(images: Tensor, generator: torch.Generator) -> Tensor:
    """The pixels in another order, the same for all images: values stay, neighbourhoods do not."""
    flat = images.flatten(1, 2)
    return flat[:, torch.randperm(flat.shape[1], generator=generator)].reshape(images.shape)


def _blurred(images: Tensor, _: torch.Generator) -> Tensor:
    """Blurred twice by a binomial kernel of 5x5."""
    weights = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
    kernel = (weights[:, None] * weights / weights.sum() ** 2)[None, None]
    planes = images[..., None] if images.ndim == 3 else images
    channels = planes.movedim(-1, 1).flatten(0, 1)[:, None].float()
    for _repeat in range(2):
        channels = functional.conv2d(functional.pad(channels, (2, 2, 2, 2), mode="replicate"), kernel)
    blurred = channels.reshape(len(images), -1, *images.shape[1:3]).movedim(1, -1)
    return blurred.reshape(images.shape).round().to(torch.uint8)


def _low_contrast(images: Tensor, _: torch.Generator) -> Tensor:
    """Half the contrast, around mid-grey."""
    return (images // 2 + 64).to(torch.uint8)


def _patched(images: Tensor, generator: torch.Generator) -> Tensor:
    """A square of one random grey level, pasted at a random place."""
    patched = images.clone()
    side = min(_PATCH, *images.shape[1:3])
    height, width = images.shape[1] - side, images.shape[2] - side
    for image in patched:
        row = int(torch.randint(0, height + 1, (1,), generator=generator))
        column = int(torch.randint(0, width + 1, (1,), generator=generator))
        image[row : row + side, column : column + side] = int(torch.randint(0, 256, (1,), generator=generator))
    return patched


def _uniform(vectors: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform over the box that the vectors span."""
    low, high = vectors.amin(dim=0), vectors.amax(dim=0)
    return low + (high - low) * torch.rand(vectors.shape, generator=generator, dtype=vectors.dtype)


def _shuffled_columns(vectors: Tensor, generator: torch.Generator) -> Tensor:
    """Each column shuffled by itself: every value stays ordinary, their combinations do not."""
    orders = torch.rand(vectors.shape, generator=generator).argsort(dim=0)
    return vectors.gather(0, orders)


def _stretched(vectors: Tensor, _: torch.Generator) -> Tensor:
    """Moved to twice the distance from the mean."""
    return 2 * vectors - vectors.mean(dim=0)


def _of_images(turned: str, turn: Corruption) -> dict[str, Corruption]:
    return {
        "uniform noise": _noise,
        "constant": _constant,
        "inverted": _inverted,
        turned: turn,
        "shuffled pixels": _shuffled,
        "blurred": _blurred,
        "low contrast": _low_contrast,
        "pasted square": _patched,
    }


CORRUPTIONS = _of_images("turned by 90 degrees", _turned)
OBLONG_CORRUPTIONS = _of_images("turned by 180 degrees", _upside_down)
"""Of images that are not square."""
VECTOR_CORRUPTIONS: dict[str, Corruption] = {
    "uniform in their box": _uniform,
    "shuffled columns": _shuffled_columns,
    "stretched twofold": _stretched,
}
