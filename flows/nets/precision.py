"""bfloat16 nets in a float32 flow, and float32 products that are not rounded to less.

The parameters of a coupling may be any function of the kept part, so also a net in bfloat16. The result is another
flow, which differs by the rounding of its nets; it is exactly invertible, and its likelihood is exact. Latents,
log-determinants and densities stay float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from flows.flow import Flow
from flows.nets import Net
from flows.nets.packed import PackedLinear


@contextmanager
def exact_float32() -> Iterator[None]:
    """A context in which float32 products and convolutions keep float32's precision and repeat to the bit.

    On CUDA, PyTorch rounds the factors of float32 convolutions to TF32 (10 bits of mantissa) unless told otherwise.
    A flow's inverse then misses the item by far more than rounding, and its log-likelihood changes. cuDNN also chooses
    among algorithms that add in an order of their own. The switches belong to the process: enter the context around
    everything that computes, before other threads do.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, torch.get_float32_matmul_precision()
    cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = False, True, False
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before[:3]
        torch.set_float32_matmul_precision(before[3])


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16. Elsewhere bfloat16 is emulated and slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def with_bfloat16_nets(flow: Flow) -> Flow:
    """A copy of the flow, not for training, whose nets have bfloat16 weights and compute in bfloat16."""
    fast = copy.deepcopy(flow).requires_grad_(False)
    for net in fast.modules():
        if isinstance(net, Net):
            net.bfloat16().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch declares three of four overloads
            net.dtype = torch.bfloat16
            if flow.device.type == "cpu" and PackedLinear.possible():
                _pack(net)
    return fast


def _pack(module: nn.Module) -> None:
    """Replace the linear layers inside a module by packed ones."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child))
        elif isinstance(child, nn.Sequential):
            setattr(module, name, nn.Sequential(*_packed(list(child))))
        else:
            _pack(child)


def _packed(layers: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """The layers of a sequence, with each linear layer packed together with the ReLU that follows it."""
    previous: nn.Module | None = None
    for layer, following in zip(layers, (*layers[1:], None), strict=True):
        if isinstance(layer, nn.Linear):
            yield PackedLinear(layer, relu=isinstance(following, nn.ReLU))
        elif not (isinstance(layer, nn.ReLU) and isinstance(previous, nn.Linear)):
            _pack(layer)
            yield layer
        previous = layer
