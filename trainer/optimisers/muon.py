"""Muon: matrices move by steps whose singular values are all about 1, and everything else by AdamW.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024 (kellerjordan.github.io/posts/muon).
Unlike torch.optim.Muon this one takes convolution kernels too, and computes matrices of one shape together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainer.optimisers.adam import FusedAdamW

_MOMENTUM = 0.95
_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of Jordan et al.: five iterations map singular values in [0.01, 1] to about [0.7, 1.2]."""


class Muon(FusedAdamW):
    """AdamW, except for groups with ``"muon": True``, whose matrices move by orthogonal steps of size ``lr``.

    The step is U V^T, where U S V^T is the step of Nesterov's momentum, times sqrt(max(1, rows / columns)). Decay is
    that of AdamW. A kernel (outputs, inputs, height, width) is the matrix (outputs, inputs * height * width).
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all groups, each by its own rule."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group.get("muon")]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group.get("muon"):
                self._move(group)
        return loss

    def _move(self, group: dict[str, Any]) -> None:
        alike: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                alike[parameter.flatten(1).shape].append(parameter)
        for (rows, columns), parameters in alike.items():
            for parameter in parameters:
                if not self.state[parameter]:
                    # AdamW expects a step in every state that it loads
                    step = torch.zeros((), device=parameter.device)
                    self.state[parameter].update(momentum=torch.zeros_like(parameter), step=step)
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            momenta = [self.state[parameter]["momentum"] for parameter in parameters]
            gradients, share = self._admitted(gradients)
            torch._foreach_add_(momenta, torch._foreach_mul(torch._foreach_sub(gradients, momenta), share))
            ahead = torch._foreach_lerp(gradients, momenta, _MOMENTUM)
            steps = orthogonal(torch.stack([step.flatten(1) for step in ahead])).to(parameters[0].dtype)
            rate = group["lr"] * share / (1 - _MOMENTUM)
            torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
            steps = steps * (-rate * max(1, rows / columns) ** 0.5)
            reshaped = [step.reshape(p.shape) for p, step in zip(parameters, steps, strict=True)]
            torch._foreach_add_(parameters, reshaped)

    def _admitted(self, gradients: list[Tensor]) -> tuple[list[Tensor], float | Tensor]:
        """Gradients divided by ``grad_scale``, and their share in the momentum; both zero in a step to leave out."""
        share: float | Tensor = 1 - _MOMENTUM
        if self.grad_scale is not None:
            gradients = list(torch._foreach_div(gradients, self.grad_scale))
        if self.found_inf is not None:
            left_out = self.found_inf > 0
            gradients = [gradient.masked_fill(left_out, 0.0) for gradient in gradients]
            share = share * (1 - self.found_inf)
        return gradients, share


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (K, rows, columns) with all singular values replaced by about 1, by a Newton-Schulz iteration.

    Computed in bfloat16, whose precision is enough for a step's direction.
    """
    x: Tensor = matrices.bfloat16()
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
