"""The allow-list of architectures: a published model names one and its arguments, and nothing else can be built."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flows.architectures.glow import glow
from flows.architectures.lattice import lattice
from flows.architectures.nice import nice
from flows.architectures.realnvp import realnvp
from flows.architectures.spline import spline
from flows.errors import ArchitectureError
from flows.flow import Flow
from flows.nets import ACTIVATIONS
from flows.priors import PRIORS
from flows.transforms.whitening import WHITENINGS

ARCHITECTURES: dict[str, Callable[..., Flow]] = {
    "glow": glow,
    "lattice": lattice,
    "nice": nice,
    "realnvp": realnvp,
    "spline": spline,
}

# No flow comes near these; a manifest that names more is damaged or hostile, and must not keep the builder busy.
_MOST_LAYERS = 1_000
_WIDEST = 100_000
_MOST_NESTED_LAYERS = 20_000

_CHOICES: dict[str, Mapping[str, object]] = {"prior": PRIORS, "activation": ACTIVATIONS, "whitening": WHITENINGS}


def build(name: str, item_shape: Sequence[int], arguments: Mapping[str, Any]) -> Flow:
    """The flow that a manifest describes, with fresh weights. Under ``torch.device("meta")`` it takes no memory.

    Raises ArchitectureError when the name is not on the list, or an argument is unknown, of the wrong type or out of
    range; the message names the argument.
    """
    if name not in ARCHITECTURES:
        raise ArchitectureError(f"unknown architecture {name!r}; known: {', '.join(sorted(ARCHITECTURES))}")
    builder = ARCHITECTURES[name]
    known = {key: p.default for key, p in inspect.signature(builder).parameters.items() if key != "item_shape"}
    for key in arguments.keys() - known.keys():
        raise ArchitectureError(f"architecture {name!r} takes no argument {key!r}; it takes {', '.join(known)}")
    if not _are_widths(item_shape):
        raise ArchitectureError(f"item_shape must be a list of integers from 1 to {_WIDEST}, got {item_shape!r}")
    for key, value in arguments.items():
        _check(key, value, known[key])
    _check_nesting({**known, **arguments})
    return builder(tuple(item_shape), **arguments)


def _check(key: str, value: Any, default: Any) -> None:
    """The value must be of the kind of the default: a flag, a count, counts, a share, or a word of a known list."""
    if key in _CHOICES:
        if not isinstance(value, str) or value not in _CHOICES[key]:
            raise ArchitectureError(f"{key} must be one of {', '.join(_CHOICES[key])}, got {value!r}")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise ArchitectureError(f"{key} must be true or false, got {value!r}")
    elif isinstance(default, int):
        if not _is_count(value, _MOST_LAYERS):
            raise ArchitectureError(f"{key} must be an integer from 1 to {_MOST_LAYERS}, got {value!r}")
    elif isinstance(default, float):
        if not isinstance(value, float | int) or isinstance(value, bool) or not 0 < value < 1:
            raise ArchitectureError(f"{key} must be a number between 0 and 1, got {value!r}")
    elif not _are_widths(value):
        raise ArchitectureError(f"{key} must be a list of integers from 1 to {_WIDEST}, got {value!r}")


def _check_nesting(arguments: Mapping[str, Any]) -> None:
    """Counts multiply (levels of couplings of layers), so that each alone may be fine and all together are not."""
    counts = [value if isinstance(value, int) else len(value) for value in arguments.values() if _counts(value)]
    if math.prod(counts) > _MOST_NESTED_LAYERS:
        raise ArchitectureError(f"these arguments describe more than {_MOST_NESTED_LAYERS} layers")


def _counts(value: object) -> bool:
    return isinstance(value, int | list | tuple) and not isinstance(value, bool)


def _are_widths(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and 0 < len(value) <= _MOST_LAYERS
        and all(_is_count(width, _WIDEST) for width in value)
    )


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most
