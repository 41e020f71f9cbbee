"""Named tensors with one row an item: what goes into a tick and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

ROWS_MULTIPLE = 8
"""A float32 batch of images is filled up to a multiple of this number of rows.

Matrix products of fewer rows go through other kernels and differ in the last bits, and a last bit can decide between
two grey levels: without the filling an answer would depend on the requests beside it.
"""
DECODED_ROWS_MULTIPLE = 16
"""A float32 batch of images that is decoded is filled up to a multiple of this number of rows.

A lattice flow decodes 8 rows with other last bits than 16 rows, and with other ones in two threads than in one.
"""
VECTOR_ROWS_MULTIPLE = 32
"""A batch of vectors is filled up to a multiple of this number of rows, in any precision.

Rows of vectors are short. An operation on all rows together must fill whole registers, since other instructions compute
what is left over. In multiples of 8 or 16, spline models gave some rows other last bits in a batch of 48 than of 256.
"""


class Rows(Protocol):
    """A batch whose rows may be picked and joined: columns, or the state of an inpainting."""

    def __len__(self) -> int: ...

    def select(self, index: Tensor) -> Self: ...

    def flat(self) -> list[Tensor]:
        """All tensors, in an order that follows from the kind of rows alone."""

    def like(self, tensors: Sequence[Tensor]) -> Self:
        """Rows of the same kind, of the tensors that ``flat`` would give."""

    @staticmethod
    def cat(parts: Sequence[Any]) -> Any: ...


class Columns:
    """Tensors (B, ...) by name, all with the same B."""

    __slots__ = ("tensors",)

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return next(iter(self.tensors.values())).shape[0]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def select(self, index: Tensor) -> Columns:
        """The rows of an index (K,), in its order."""
        return Columns({name: tensor[index] for name, tensor in self.tensors.items()})

    def rows(self, start: int, stop: int) -> Columns:
        """The rows from ``start`` up to ``stop``, without a copy."""
        return Columns({name: tensor[start:stop] for name, tensor in self.tensors.items()})

    def flat(self) -> list[Tensor]:
        return list(self.tensors.values())

    def like(self, tensors: Sequence[Tensor]) -> Columns:
        return Columns(dict(zip(self.tensors, tensors, strict=True)))

    def to(self, device: torch.device) -> Columns:
        """The same on a device. The copies are queued there; nothing waits for them."""
        if device.type == "cpu":
            return self
        return Columns(
            {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in self.tensors.items()}
        )

    def to_cpu(self) -> Columns:
        """The same on the CPU, once the device has computed all of it: waits once, however many columns there are."""
        devices = {tensor.device for tensor in self.tensors.values() if tensor.is_cuda}
        if not devices:
            return self
        found = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
            for name, tensor in self.tensors.items()
        }
        for device in devices:
            torch.cuda.current_stream(device).synchronize()
        return Columns(found)

    @staticmethod
    def cat(parts: Sequence[Columns]) -> Columns:
        """The rows of several, one after another."""
        if len(parts) == 1:
            return parts[0]
        return Columns({name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors})


R = TypeVar("R", bound=Rows)


def padded_length(count: int, multiple: int) -> int:
    """The length to which a batch of ``count`` rows is filled up.

    A multiple of ``multiple``; beyond eight multiples only four sizes lie between a power of two and the next. Kernels
    are compiled and kept for each number of rows, and for every possible number they would take more memory than the
    model. At most a fifth of a batch beyond one multiple is filling.
    """
    blocks = -(-count // multiple)
    step = 1 << max((blocks - 1).bit_length() - 3, 0)
    return -(-blocks // step) * step * multiple


def padded_lengths(largest: int, multiple: int) -> list[int]:
    """All lengths to which batches of 1 to ``largest`` rows are filled up."""
    return sorted({padded_length(count, multiple) for count in range(1, largest + 1)})


def filled(rows: R, size: int) -> R:
    """The rows with the last one repeated up to ``size`` rows."""
    return rows if size == len(rows) else rows.select(torch.arange(size).clamp(max=len(rows) - 1))
