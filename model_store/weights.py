"""Weights to bytes and back. safetensors holds tensors only: nothing that is loaded can run."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from flows import Flow, FlowError, build
from model_store.manifest import Dtype, Manifest

_TORCH: dict[Dtype, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class DamagedTensors(ValueError):
    """The bytes are no safetensors file, or not the tensors that the manifest promises."""


def stored_dtype(tensor: Tensor, dtype: Dtype) -> torch.dtype:
    """Matrices are stored in the version's dtype; vectors are few, and a log-scale needs its digits."""
    return _TORCH[dtype] if tensor.ndim >= 2 else torch.float32


@torch.no_grad()
def round_weights(flow: Flow, dtype: Dtype) -> None:
    """Round in place what will be stored in ``dtype``, so that what is measured is what is served."""
    for tensor in flow.state_dict().values():
        tensor.copy_(tensor.to(stored_dtype(tensor, dtype)))


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """Raises DamagedTensors when the bytes are no safetensors file or hold a number that is not finite."""
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedTensors("not a readable safetensors file") from error
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DamagedTensors(f"tensor {key!r} holds a value that is not finite")
    return tensors


def flow_to_bytes(flow: Flow, dtype: Dtype) -> bytes:
    return to_bytes({key: t.to(stored_dtype(t, dtype)) for key, t in flow.state_dict().items()})


def flow_from_bytes(manifest: Manifest, data: bytes) -> Flow:
    """The manifest's architecture with these weights, float32, in evaluation mode, parameters frozen.

    The flow is built on the meta device first: a manifest that asks for more than its file holds takes no memory.
    Raises DamagedTensors, or ArchitectureError for an architecture that is not on the allow-list.
    """
    with torch.device("meta"):
        try:
            flow = build(manifest.architecture.name, manifest.item.shape, manifest.architecture.arguments)
        except (FlowError, TypeError) as error:
            raise DamagedTensors(str(error)) from error
    expected = flow.state_dict()
    tensors = from_bytes(data)
    for key in sorted(expected.keys() - tensors.keys()):
        raise DamagedTensors(f"tensor {key!r} is missing")
    for key in sorted(tensors.keys() - expected.keys()):
        raise DamagedTensors(f"tensor {key!r} does not belong to architecture {manifest.architecture.name!r}")
    for key, tensor in tensors.items():
        want = expected[key]
        dtype = stored_dtype(want, manifest.weights.dtype)
        if tensor.shape != want.shape or tensor.dtype != dtype:
            raise DamagedTensors(
                f"tensor {key!r} is {tuple(tensor.shape)} {tensor.dtype}, not {tuple(want.shape)} {dtype}"
            )
    flow.load_state_dict({key: tensor.to(torch.float32) for key, tensor in tensors.items()}, assign=True)
    return flow.eval().requires_grad_(False)
