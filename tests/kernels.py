"""Counts the kernels that a piece of work would launch on a GPU, and lists where it would wait for the device.

Works without a GPU: on the CPU, or on a fake GPU (``fake_gpu``), where tensors have a device and a shape but no values.
"""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.utils.backend_registration
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


class _Backend(torch.utils.backend_registration._DummyBackendModule):
    """What PyTorch asks of the module of a device type."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_rng_state(self, device: Any = 0) -> Tensor:
        return torch.empty(0, dtype=torch.uint8)

    def set_rng_state(self, state: Tensor, device: Any = 0) -> None:
        pass


torch.utils.backend_registration._setup_privateuseone_for_python_backend("fakegpu", _Backend())
GPU = torch.device("fakegpu", 0)
"""The fake GPU. A build of PyTorch for CPUs alone cannot index fake tensors of ``cuda``, or take their gradient."""

_ROOT = Path(__file__).parents[1]
_WITHOUT_KERNEL = {
    "alias", "as_strided", "detach", "diagonal", "empty", "empty_like", "empty_strided", "expand", "lift_fresh",
    "new_empty", "new_empty_strided", "permute", "resize_", "select", "set_", "slice", "split", "split_with_sizes",
    "squeeze", "t", "transpose", "unbind", "unfold", "unsqueeze", "view", "_local_scalar_dense", "_unsafe_view",
    "_reshape_alias", "is_same_size", "device",
}  # fmt: skip
"""Operators that only describe memory anew."""
_WAITING = {
    "_local_scalar_dense", "bincount", "equal", "is_nonzero", "masked_select", "nonzero", "repeat_interleave",
    "unique_consecutive", "unique_dim", "_unique2", "linalg_inv_ex_checked", "histc",
}  # fmt: skip
"""Operators whose result, or its shape, is needed on the host."""


class Kernels(TorchDispatchMode):
    """Counts, while it is entered, the operators that launch a kernel on one device type, and lists those that wait.

    An operator counts as one kernel, also where a GPU needs two or three, as for some sums. ``waits`` names each
    waiting operator with the file and line that called it: values that go to the host, shapes that depend on values,
    copies to the host, and copies of lists and numbers to the device.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.device = device
        self.counts: Counter[str] = Counter()
        self.waits: list[str] = []

    @property
    def launches(self) -> int:
        return self.counts.total()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        if func is not torch.ops.prim.device.default and torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(), "CompositeImplicitAutograd"
        ):
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        inputs = [leaf for leaf in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if self._waits(name, args, kwargs, inputs):
            self.waits.append(f"{name} at {_caller(sys._getframe())}")
        result = func(*args, **kwargs)
        outputs = [leaf for leaf in torch.utils._pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        if name not in _WITHOUT_KERNEL and any(each.device.type == self.device for each in (*inputs, *outputs)):
            self.counts[name] += 1
        return result

    def _waits(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: list[Tensor]) -> bool:
        here = [each for each in inputs if each.device.type == self.device]
        if not here and name not in {"_to_copy", "copy_"}:
            return False
        if name in _WAITING:
            return True
        if name in {"index", "index_put", "index_put_", "_index_put_impl_"}:
            return any(each is not None and each.dtype in {torch.bool, torch.uint8} for each in args[1])
        if name == "_to_copy":
            target = kwargs.get("device") or args[0].device
            crosses = torch.device(target).type != args[0].device.type
            return crosses and not kwargs.get("non_blocking", False)
        if name == "copy_":
            blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
            return args[0].device.type != args[1].device.type and blocking
        return False


def _caller(frame: FrameType | None) -> str:
    """The file and line of Sluice that called."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_ROOT) and path != Path(__file__) and ".venv" not in path.parts:
            return f"{path.relative_to(_ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown"


_MODE = FakeTensorMode(allow_non_fake_inputs=True)
"""One for the whole process: constants that the code keeps for a device belong to a mode."""


@contextmanager
def fake_gpu() -> Iterator[None]:
    """A context in which tensors on ``GPU`` exist without one. They have no values, so a look at one is an error."""
    with _MODE:
        yield


def on_fake_gpu(value: Any) -> Any:
    """A copy on the fake GPU of a tensor, or of an object with its tensors wherever they are; call it in ``fake_gpu``.

    Modules, and objects of Sluice's own classes, are looked into.
    """
    if isinstance(value, nn.Parameter):
        return nn.Parameter(on_fake_gpu(value.detach()), requires_grad=value.requires_grad)
    if isinstance(value, Tensor):
        return _MODE.from_tensor(value).to(GPU)
    if isinstance(value, dict):
        return {key: on_fake_gpu(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        parts = [on_fake_gpu(each) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, nn.Module) or type(value).__module__.startswith("flows."):
        moved = copy.copy(value)
        moved.__dict__.update(on_fake_gpu(value.__dict__))
        return moved
    return value
