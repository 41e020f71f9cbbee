"""The allow-list of architectures: a published model names one and its arguments, and nothing else can be built."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from flows.architectures import glow, lattice, nice, realnvp, spline, table
from flows.architectures.arguments import MOST_NESTED_LAYERS, Argument, Widths
from flows.errors import ArchitectureError
from flows.flow import Flow


@dataclass(frozen=True)
class Architecture:
    """A builder of flows, called with an item shape and keyword arguments, and what those arguments may be."""

    builder: Callable[..., Flow]
    arguments: Mapping[str, Argument]

    def whole(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments, the defaults of those that are not given included, as JSON would hold them."""
        whole = {name: arguments.get(name, argument.default) for name, argument in self.arguments.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in whole.items()}


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "glow": Architecture(glow.glow, glow.ARGUMENTS),
        "lattice": Architecture(lattice.lattice, lattice.ARGUMENTS),
        "nice": Architecture(nice.nice, nice.ARGUMENTS),
        "realnvp": Architecture(realnvp.realnvp, realnvp.ARGUMENTS),
        "spline": Architecture(spline.spline, spline.ARGUMENTS),
        "table": Architecture(table.table, table.ARGUMENTS),
    }
)


def build(name: str, item_shape: Sequence[int], arguments: Mapping[str, Any]) -> Flow:
    """The flow that a manifest describes, with fresh weights. Under ``torch.device("meta")`` it takes no memory.

    Raises ArchitectureError if the name is not on the list, or if an argument is unknown, of the wrong type or out of
    range. The message names the argument.

    >>> flows.build("nice", (2,), {"hidden": [8], "image": False}).dimensions
    2
    >>> flows.build("nice", (2,), {"couplings": 0})
    Traceback (most recent call last):
    ...
    flows.errors.ArchitectureError: couplings must be an integer from 1 to 1000, got 0
    """
    if name not in ARCHITECTURES:
        raise ArchitectureError(f"unknown architecture {name!r}; known: {', '.join(sorted(ARCHITECTURES))}")
    known = ARCHITECTURES[name].arguments
    for key in arguments.keys() - known.keys():
        raise ArchitectureError(f"architecture {name!r} takes no argument {key!r}; it takes {', '.join(known)}")
    Widths(default=()).check("item_shape", item_shape)
    for key, value in arguments.items():
        known[key].check(key, value)
    # Counts multiply (levels of couplings of layers): each alone may be in range, and the product too large.
    nested = math.prod(argument.layers(arguments.get(key, argument.default)) for key, argument in known.items())
    if nested > MOST_NESTED_LAYERS:
        raise ArchitectureError(f"these arguments describe more than {MOST_NESTED_LAYERS} layers")
    return ARCHITECTURES[name].builder(tuple(item_shape), **arguments)


__all__ = ["ARCHITECTURES", "Architecture", "build"]
