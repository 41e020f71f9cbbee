"""Weights to bytes and back, as safetensors: a format that holds tensors only, and no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from flows import Flow, FlowError, build
from model_store.manifest import Architecture, Dtype, Manifest

_DTYPES = {
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
}
"""What tensors of a model may be; safetensors has others, for which PyTorch lacks operations."""
_TORCH: dict[Dtype, torch.dtype] = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_HALF: tuple[Dtype, ...] = ("float16", "bfloat16")


class DamagedTensors(ValueError):
    """The bytes are not a safetensors file, or hold other tensors than the manifest promises."""


def stored_dtype(tensor: Tensor, dtype: Dtype) -> torch.dtype:
    """The dtype in which a tensor is stored, in a version whose matrices have ``dtype``.

    Vectors keep float32: they are small, and log-scales need the precision.
    """
    return _TORCH[dtype] if tensor.ndim >= 2 else torch.float32


@torch.no_grad()
def half_dtype(flows: Sequence[Flow]) -> Dtype:
    """The dtype of 16 bits that changes the matrices of flows least: that in which the worst of them errs least.

    float16 has three more binary digits, but numbers above 65,504 are infinite in it, and it is coarse below 1e-5.
    """
    matrices = [tensor for flow in flows for tensor in flow.state_dict().values() if tensor.ndim >= 2]

    def worst(dtype: Dtype) -> float:
        return max((_relative_change(matrix, _TORCH[dtype]) for matrix in matrices), default=0.0)

    return min(_HALF, key=worst)


def _relative_change(matrix: Tensor, dtype: torch.dtype) -> float:
    rounded = matrix.to(dtype).to(matrix.dtype)
    return float((rounded - matrix).norm() / matrix.norm().clamp_min(torch.finfo(torch.float32).tiny))


@torch.no_grad()
def round_weights(flow: Flow, dtype: Dtype) -> None:
    """Round a flow's tensors in place to the values that a version of ``dtype`` stores.

    A trainer does this before it evaluates, so that the figures are those of the served weights.
    """
    for tensor in flow.state_dict().values():
        tensor.copy_(tensor.to(stored_dtype(tensor, dtype)))


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Named tensors as the bytes of a safetensors file."""
    return safetensors.torch.save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """The named tensors in a safetensors file.

    Raises DamagedTensors when the bytes are not such a file, when a tensor is of a dtype that no model needs, or when
    a floating-point value is not finite.
    """
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedTensors("not a readable safetensors file") from error
    for key, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise DamagedTensors(f"tensor {key!r} is {tensor.dtype}, which no model needs")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DamagedTensors(f"tensor {key!r} holds a value that is not finite")
    return tensors


def flow_to_bytes(flow: Flow, dtype: Dtype) -> bytes:
    """A flow's weights and buffers as the bytes of a safetensors file, with matrices rounded to ``dtype``."""
    return to_bytes({key: t.to(stored_dtype(t, dtype)) for key, t in flow.state_dict().items()})


def flow_from_bytes(manifest: Manifest, data: bytes) -> Flow:
    """The flow that a manifest describes, with these weights (see ``flow_of``)."""
    return flow_of(manifest.architecture, manifest.item.shape, manifest.weights.dtype, data)


def flow_of(architecture: Architecture, shape: Sequence[int], weights_dtype: Dtype, data: bytes) -> Flow:
    """An architecture for items of a shape with these weights, float32, in evaluation mode, parameters frozen.

    The flow is built on the meta device first, so arguments that ask for a gigantic network take no memory.
    Raises DamagedTensors when the architecture is unknown or cannot be built, or when the tensors do not fit it.
    """
    return _flow(architecture, shape, from_bytes(data), weights_dtype)


def flow_from_tensors(manifest: Manifest, tensors: Mapping[str, Tensor], dtype: Dtype = "float32") -> Flow:
    """The manifest's architecture with weights whose matrices are stored in ``dtype``; see ``flow_of``."""
    return _flow(manifest.architecture, manifest.item.shape, tensors, dtype)


def _flow(architecture: Architecture, shape: Sequence[int], tensors: Mapping[str, Tensor], dtype: Dtype) -> Flow:
    with torch.device("meta"):
        try:
            flow = build(architecture.name, shape, architecture.arguments)
        except (FlowError, TypeError) as error:
            raise DamagedTensors(str(error)) from error
    expected = flow.state_dict()
    for key in sorted(expected.keys() - tensors.keys()):
        raise DamagedTensors(f"tensor {key!r} is missing")
    for key in sorted(tensors.keys() - expected.keys()):
        raise DamagedTensors(f"tensor {key!r} does not belong to architecture {architecture.name!r}")
    for key, tensor in tensors.items():
        want = expected[key]
        wanted = stored_dtype(want, dtype)
        if tensor.shape != want.shape or tensor.dtype != wanted:
            raise DamagedTensors(
                f"tensor {key!r} is {tuple(tensor.shape)} {tensor.dtype}, not {tuple(want.shape)} {wanted}"
            )
    flow.load_state_dict({key: tensor.to(torch.float32) for key, tensor in tensors.items()}, assign=True)
    return flow.eval().requires_grad_(False)
