"""Several flows of one architecture as one module, so that one pass, or one training step, does the work of all."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from flows.flow import Flow
from flows.transforms.scaling import DiagonalScaling
from flows.transforms.transform import Transform
from flows.transforms.whitening import Standardise, Whitening


class StackedFlows(nn.Module):
    """K flows whose weights lie in stacks, so that a batch of each passes through all of them at once.

    Of few rows a pass takes as long as its operations take to start. A stack starts each once where K flows start it K
    times. Only flows can be stacked whose weights belong to linear layers, standardising, whitening and diagonal
    scaling; see ``possible``.

    ``weights`` has flat tensors (K, P), of which all parameters are views: ``matrices`` of linear layers, the log-
    ``scales`` of diagonal scalings, and ``others``. ``gather_gradients`` gives them their gradients, and ``write_back``
    copies them into the flows that were given.

    >>> members = [flows.table((2,), hidden=[4]).eval() for _ in range(3)]
    >>> stacked = flows.StackedFlows(members)
    >>> x = torch.randn(3, 5, 2)
    >>> bool(torch.allclose(stacked(x)[1], members[1].log_prob(x[1]), atol=1e-5))
    True
    """

    def __init__(self, flows: Sequence[Flow]) -> None:
        super().__init__()
        if not self.possible(flows[0]):
            raise TypeError("these flows have layers that cannot be stacked")
        self.members = tuple(flows)  # in a tuple, so that they are no parts of this module
        self.flow = copy.deepcopy(flows[0])
        self._places: dict[str, list[_Place]] = {"matrices": [], "scales": [], "others": []}
        for name, layers in zip(*_names_and_modules(flows), strict=True):
            kind = type(layers[0])
            if kind not in _STACKS:
                continue
            stack = _STACKS[kind](layers)
            parent, _, place = name.rpartition(".")
            setattr(self.flow.get_submodule(parent), place, stack)
            for own, parameter in stack.named_parameters():
                group = "scales" if kind is DiagonalScaling else "matrices" if parameter.ndim == 3 else "others"
                self._places[group].append(_Place(parameter, [getattr(layer, own) for layer in layers]))
        self.weights: Mapping[str, Tensor] = {group: _flat(places) for group, places in self._places.items()}

    @staticmethod
    def possible(flow: Flow) -> bool:
        """Whether flows like this can be stacked."""
        owners = [module for module in flow.transforms.modules() if list(module.parameters(recurse=False))]
        kept = [module for module in flow.transforms.modules() if list(module.buffers(recurse=False))]
        return all(type(module) in _STACKS for module in owners + kept)

    def forward(self, x: Tensor) -> Tensor:
        """Continuous points x (K, B, *item_shape), a batch for each flow -> log-likelihoods (K, B) in nats."""
        return self.flow.log_prob(x.flatten(0, 1)).view(x.shape[:2])

    def gather_gradients(self) -> None:
        """Move the gradients of a backward pass from the parameters to ``weights``."""
        for group, places in self._places.items():
            gradients = [place.stack.grad for place in places if place.stack.grad is not None]
            self.weights[group].grad = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)
            for place in places:
                place.stack.grad = None

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the weights into the flows that this was made of."""
        for places in self._places.values():
            for stack, owners in places:
                for own, owner in zip(stack, owners, strict=True):
                    owner.copy_(own)


class _Place(NamedTuple):
    """A parameter (K, ...) of a stack, and the parameters of the flows that it is made of."""

    stack: nn.Parameter
    owners: list[nn.Parameter]


class StackedLinear(nn.Module):
    """K linear layers: rows come in K blocks of equal length, and block k passes through layer k."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """x (K B, inputs) -> (K B, outputs)."""
        blocks = x.reshape(len(self.weight), -1, x.shape[-1])
        return torch.baddbmm(self.bias[:, None], blocks, self.weight.mT).flatten(0, 1)


class _StackedScaling(Transform):
    """K diagonal scalings, for rows as in StackedLinear."""

    def __init__(self, layers: Sequence[DiagonalScaling]) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.stack([layer.log_scale.detach() for layer in layers]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        blocks = x.reshape(len(self.log_scale), -1, x.shape[-1])
        total = self.log_scale.sum(dim=1, keepdim=True).expand(blocks.shape[:2])
        return (blocks * self.log_scale.exp()[:, None]).flatten(0, 1), total.flatten()


class _StackedAffine(Transform):
    """K fixed affine maps y = (x - shift) matrix, for rows as in StackedLinear."""

    shift: Tensor
    matrix: Tensor
    log_abs_det: Tensor

    def __init__(self, layers: Sequence[Standardise | Whitening]) -> None:
        super().__init__()
        maps = [layer.matrix() for layer in layers]
        self.register_buffer("shift", torch.stack([layer.mean for layer in layers])[:, None])
        self.register_buffer("matrix", torch.stack([matrix for matrix, _ in maps]))
        self.register_buffer("log_abs_det", torch.stack([volume for _, volume in maps])[:, None])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        blocks = x.reshape(len(self.matrix), -1, x.shape[-1])
        return ((blocks - self.shift) @ self.matrix).flatten(0, 1), self.log_abs_det.expand(blocks.shape[:2]).flatten()


_STACKS: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.Linear: StackedLinear,
    DiagonalScaling: _StackedScaling,
    Standardise: _StackedAffine,
    Whitening: _StackedAffine,
}
"""What takes the place of the layers of each kind."""


def _names_and_modules(flows: Sequence[Flow]) -> tuple[list[str], list[tuple[nn.Module, ...]]]:
    """The names of all modules inside the flows' transforms, and those of each name, one of each flow."""
    names = [f"transforms.{name}" for name, _ in flows[0].transforms.named_modules() if name]
    return names, [tuple(flow.get_submodule(name) for flow in flows) for name in names]


@torch.no_grad()
def _flat(places: Sequence[_Place]) -> Tensor:
    """One tensor (K, P) whose parts become the memory of these parameters (K, ...)."""
    parameters = [place.stack for place in places]
    flat = torch.cat([parameter.flatten(1) for parameter in parameters], dim=1)
    sizes = [parameter[0].numel() for parameter in parameters]
    for parameter, part in zip(parameters, torch.split(flat, sizes, dim=1), strict=True):
        parameter.data = part.view(parameter.shape)
    return flat.requires_grad_()
