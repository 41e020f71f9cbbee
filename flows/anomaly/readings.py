"""What is read from each pixel of a picture before it is judged which places are strange.

Two readings come from the flow, the others from the picture. A density alone misses what is as likely as the rest:
a blurred place, a piece of another surface. What neighbours have in contrast, by direction and at two scales, tells
those apart (filter energies of textures: Laws 1980, "Rapid texture identification", Proc. SPIE 0238).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_CALM = 0.1
"""Added to the surprise of a latent before the logarithm: that of three latents in ten is below."""
_FLAT = 1e-5
"""Added to the square of a gradient of pixels in [0, 1]: that of a grey level is 1.5e-5."""
_EVEN = 1e-4
"""Added to the square of a contrast of pixels in [0, 1]: that of two grey levels and a half."""
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""The weights of the window that smooths a picture before its contrasts two pixels away."""


def readings(x: Tensor, log_densities: Tensor, surprise: Tensor) -> Tensor:
    """All readings (8 + C, H, W) of a picture's pixels x (H, W[, C]): those of the flow, then those of the picture."""
    return torch.cat([of_flow(log_densities, surprise), of_picture(x)])


def of_flow(log_densities: Tensor, surprise: Tensor) -> Tensor:
    """(2, H, W): the log-density, and the logarithm of the surprise.

    ``surprise`` (H, W) is log p(0) - log p(z) of a pixel's latents z, summed over colours. It falls where pixels lie
    too close to what the flow expects.
    """
    return torch.stack([log_densities, (surprise + _CALM).log()])


def of_picture(x: Tensor) -> Tensor:
    """(6 + C, H, W) of a picture's pixels x (H, W[, C]) in [0, 1]: contrasts of the grey picture, and the colours."""
    planes = _planes(x)
    return torch.cat([contrasts(planes.mean(dim=0)), planes])


def of_picture_before_contrasts(x: Tensor) -> Tensor:
    """(1 + C, H, W): the logarithm of the squared gradient, and the colours; models of before contrasts take these."""
    planes = _planes(x)
    grey = functional.pad(planes.mean(dim=0)[None], (0, 1, 0, 1), mode="replicate")[0]
    gradient = (grey[1:, :-1] - grey[:-1, :-1]).square() + (grey[:-1, 1:] - grey[:-1, :-1]).square()
    return torch.cat([(gradient + _FLAT).log()[None], planes])


def contrasts(grey: Tensor) -> Tensor:
    """Logarithms (6, H, W) of squared contrasts of a grey picture (H, W) in [0, 1].

    Between neighbours to the left and right, between those above and below, and between a pixel and the mean of these
    four; first of the pixels themselves, then of those two away in a smoothed picture.
    """
    found = []
    for away, picture in ((1, grey), (2, _smoothed(grey))):
        padded = functional.pad(picture[None], (away,) * 4, mode="replicate")[0]
        middle = slice(away, -away)
        above, below = padded[: -2 * away, middle], padded[2 * away :, middle]
        left, right = padded[middle, : -2 * away], padded[middle, 2 * away :]
        found += [right - left, below - above, left + right + above + below - 4 * picture]
    return torch.stack(found).square_().add_(_EVEN).log_()


def _smoothed(grey: Tensor) -> Tensor:
    weights = grey.new_tensor(_BINOMIAL)
    padded = functional.pad(grey[None, None], (2, 2, 2, 2), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, weights.view(1, 1, 5, 1)), weights.view(1, 1, 1, 5))[0, 0]


def _planes(x: Tensor) -> Tensor:
    return x.reshape(*x.shape[:2], -1).movedim(2, 0)
