"""A second device that a machine without one can pretend to have, to find operands of different devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Self
from unittest.mock import patch
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("cuda", 0)
_CPU = torch.device("cpu")
_THERE: WeakValueDictionary[int, Tensor] = WeakValueDictionary()
"""What is there, of all contexts: functions may keep tensors for the next one."""
_COPYING = {"copy_", "__getitem__", "__setitem__", "_has_compatible_shallow_copy_type"}


class PretendedDevice(TorchFunctionMode):
    """Within this context, tensors moved to ``DEVICE`` or made there stay in main memory but say that they are there.

    As on a GPU, an operation on tensors of both devices raises RuntimeError, except on scalars of the CPU, on an index,
    and in a copy.
    """

    def __init__(self, moved: Iterable[Tensor]) -> None:
        """``moved`` are there from the beginning, such as the parameters of a flow."""
        super().__init__()
        self._there = _THERE
        self._there.update({id(each): each for each in moved})
        self._patches = ExitStack()

    def __enter__(self) -> Self:
        # These two make a parameter of a tensor without a function that a mode is told of.
        for name in ("__new__", "__deepcopy__"):
            made = patch.object(nn.Parameter, name, self._following(getattr(nn.Parameter, name)))
            self._patches.enter_context(made)
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._patches.close()

    def _following(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """What ``make`` makes, on the device of the tensor that it is made of."""

        def made(*args: Any, **kwargs: Any) -> Any:
            found = make(*args, **kwargs)
            source = next((each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)), None)
            if id(source) in self._there:
                self._there[id(found)] = found
            return found

        return made

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = tree_flatten((args, kwargs))[0]
        tensors = [each for each in given if isinstance(each, Tensor)]
        there = any(id(each) in self._there for each in tensors)
        name = getattr(func, "__name__", "")
        if func == Tensor.device.__get__:
            return DEVICE if there else _CPU
        if name == "__set__":  # a module that is moved
            there = id(args[1]) in self._there
            found = func(*args)
            if there:
                self._there[id(args[0])] = args[0]
            return found
        if name == "_parse_to":  # the arguments of Module.to
            return func(*args, **kwargs)
        devices = [each for each in given if isinstance(each, torch.device)]
        if devices:
            args, kwargs = tree_map(lambda each: _CPU if isinstance(each, torch.device) else each, (args, kwargs))
            there = devices[0].type == DEVICE.type
        elif name == "cpu":
            there = False
        elif name in _COPYING:
            there = id(args[0]) in self._there
        elif name == "to" and len(args) > 1 and isinstance(args[1], Tensor):
            there = id(args[1]) in self._there
        elif there and any(id(each) not in self._there and each.ndim for each in tensors):
            raise RuntimeError(f"{name}: tensors of {DEVICE} and of the CPU")
        found = args[0].unbind() if func is Tensor.__iter__ else func(*args, **kwargs)
        leaves, shape = tree_flatten(found)
        leaves = [self._marked(each, there) if isinstance(each, Tensor) else each for each in leaves]
        found = shape.unflatten(leaves)
        return iter(found) if func is Tensor.__iter__ else found

    def _marked(self, tensor: Tensor, there: bool) -> Tensor:
        if (id(tensor) in self._there) == there:
            return tensor
        if not there:  # what stays in memory may be the same object
            return tensor.view_as(tensor)
        tensor = tensor if tensor.is_leaf and tensor.requires_grad else tensor.view_as(tensor)
        self._there[id(tensor)] = tensor
        return tensor
