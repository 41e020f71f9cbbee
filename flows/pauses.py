"""Pauses in a pass: other work gets in between the layers of a module, in its forward and in its backward passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def pausing(module: nn.Module, between: Callable[[], None]) -> Iterator[None]:
    """A context in which the passes of a module pause after each of its layers, to call ``between``.

    Layers are the modules inside that have parameters of their own. A backward pass pauses before it goes through a
    layer. Results have the same bits as without pauses, and outside the context nothing is called and nothing costs
    time.

    Only passes of the calling thread pause. On a CPU these include backward passes, which PyTorch runs in the thread
    that asks for them. ``between`` is called outside inference mode and with gradients enabled, whatever the pass has
    set; it may use the module itself, whose passes do not pause meanwhile. An exception of ``between`` ends the pass.

    >>> from flows.pauses import pausing
    >>> net = flows.MLP(2, [8, 8], 1)
    >>> pauses = []
    >>> with pausing(net, lambda: pauses.append("pause")):
    ...     y = net(torch.randn(5, 2, requires_grad=True))
    >>> len(pauses)
    3
    """
    places = _Places(between)
    handles = [layer.register_forward_hook(places.after) for layer in module.modules() if layer._parameters]
    try:
        yield
    finally:
        places.open = False
        for handle in handles:
            handle.remove()


class _Places:
    """Where passes of one thread pause. ``open`` is false during a pause, and once pauses have ended."""

    def __init__(self, between: Callable[[], None]) -> None:
        self._between, self._thread, self.open = between, threading.get_ident(), True

    def after(self, layer: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG002
        """A layer has computed: pause, and once more when a backward pass reaches its output."""
        if not self._here():
            return
        self._pause()
        for tensor in output if isinstance(output, tuple) else (output,):
            if isinstance(tensor, Tensor) and tensor.requires_grad:
                tensor.register_hook(self._before)  # type: ignore[no-untyped-call]  # which torch leaves untyped
                return

    def _before(self, gradient: Tensor) -> None:  # noqa: ARG002
        if self._here():
            self._pause()

    def _here(self) -> bool:
        return self.open and threading.get_ident() == self._thread

    def _pause(self) -> None:
        self.open = False
        try:
            with torch.inference_mode(False), torch.enable_grad():
                self._between()
        finally:
            self.open = True
