"""Keyed random numbers: a row's noise follows from its key alone, on any device and in any batch.

This is a counter-based generator: the u-th number of the stream with key k is a hash of (k, u). A whole batch is drawn
in one vectorised pass. The hash is the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable
pseudorandom number generators", figure 16), in 64-bit integers that wrap around.

    >>> rows = noise.uniform(noise.keys(seed=1, count=4), (2,))
    >>> torch.equal(rows[:2], noise.uniform(noise.keys(seed=1, count=2), (2,)))
    True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2^64 / golden ratio, as the signed integer that torch uses
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64
_ALL = 2**64 - 1
_BITS = 52  # so that k + 1/2 is exact in float64 and no draw is ever 0 or 1


def keys(seed: int, count: int, device: torch.device | str = "cpu", first: int = 0) -> Tensor:
    """Keys (count,) of the rows from ``first`` on, for a seed. A call for fewer rows gives a prefix of these."""
    rows = torch.arange(first, first + count, dtype=torch.int64, device=device)
    return _mix(_mix(rows * _GOLDEN) + _signed(seed))


def content_keys(items: Tensor, seed: int | Tensor) -> Tensor:
    """Keys (B,) that follow from a seed and the content of each integer item (B, ...): equal items get equal noise.

    ``seed`` is one number, or (B,) int64.
    """
    flat = items.flatten(1).to(torch.int64)
    start = _mixed(seed + _GOLDEN) if isinstance(seed, int) else _mix(seed + _GOLDEN)
    return _mix((flat * _weights(flat.shape[1], flat.device)).sum(dim=1) + start)


def derive(parents: Tensor, index: int | Tensor) -> Tensor:
    """Keys of the index-th child stream of each key, for example of each step: ``parents`` and ``index`` broadcast."""
    child = index * _GOLDEN + _MIX_1
    return _mix(parents ^ (_mixed(child) if isinstance(child, int) else _mix(child)))


def uniform(row_keys: Tensor, shape: Sequence[int]) -> Tensor:
    """Uniform draws (B, *shape) in the open interval (0, 1), float64, one stream for each row."""
    hashed = _mix(row_keys[:, None] + _counter(math.prod(shape), row_keys.device))
    draws = (_shift_right(hashed, 64 - _BITS).to(torch.float64) + 0.5) * 2.0**-_BITS
    return draws.reshape(len(row_keys), *shape)


def normal(row_keys: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard normal draws (B, *shape), float64, one stream for each row."""
    draws: Tensor = torch.special.ndtri(uniform(row_keys, shape))
    return draws


# The caches below hold constants: they follow from the arguments alone, and nothing writes to the tensors. The tensors
# are made outside of inference mode, so that they can be used inside and outside of it.


_MOST_KEPT = 2**18
"""Numbers of a constant that is kept. Pictures of any size would fill the memory with theirs."""

_Made = Callable[[int, torch.device], Tensor]


def _kept(make: _Made) -> _Made:
    """The same, where constants of a few sizes are kept."""
    remembered = lru_cache(maxsize=16)(make)

    @wraps(make)
    def found(count: int, device: torch.device) -> Tensor:
        return remembered(count, device) if count <= _MOST_KEPT else make(count, device)

    return found


@_kept
@torch.inference_mode(False)
def _weights(count: int, device: torch.device) -> Tensor:
    """Odd multipliers (count,), one for each place of an item."""
    return keys(0x51_1CE, count, device) | 1


@_kept
@torch.inference_mode(False)
def _counter(count: int, device: torch.device) -> Tensor:
    """The increments (count,) that the first ``count`` draws add to a key."""
    return torch.arange(1, count + 1, dtype=torch.int64, device=device) * _GOLDEN


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64."""
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def _mixed(number: int) -> int:
    """``_mix`` of one number modulo 2^64, on the host: a tensor of it would have to go to the device."""
    number &= _ALL
    number = (number ^ (number >> 30)) * _MIX_1 & _ALL
    number = (number ^ (number >> 27)) * _MIX_2 & _ALL
    return _signed(number ^ (number >> 31))


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """The logical shift to the right; that of torch copies the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(seed: int) -> int:
    """The seed modulo 2^64, as a signed integer."""
    wrapped = seed & _ALL
    return wrapped - 2**64 if wrapped >= 2**63 else wrapped
