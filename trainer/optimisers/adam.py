"""AdamW in fused kernels, whose step tensors on the device may scale or leave out."""

from __future__ import annotations

import torch
from torch import Tensor


class FusedAdamW(torch.optim.AdamW):
    """AdamW whose kernel also clips the gradient, and does nothing in a step whose gradient is not finite.

    Both are decided by tensors on the parameters' device, so the host never waits for a value. The counters of steps
    lie on that device too, also after a state was loaded. On CUDA the step can be recorded in a graph.
    """

    grad_scale: Tensor | None = None
    """A scalar, float32, that gradients are divided by; None for 1."""
    found_inf: Tensor | None = None
    """A scalar, float32: with 1 the step changes nothing; None for 0."""

    def set_rate(self, rate: float) -> None:
        """Give each group the learning rate ``rate`` times its ``boost``."""
        for group in self.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(group["boost"] * rate)
            else:
                group["lr"] = group["boost"] * rate
