"""Named tensors with one row an item: what goes into the device and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

ROWS_MULTIPLE = 8
"""A batch in float32 is filled up to a multiple of this. Matrix products of fewer rows go through other kernels and
differ in the last bits, and a last bit decides between two grey levels: an answer would depend on its neighbours."""


class Rows(Protocol):
    """A batch whose rows may be picked and joined: columns, or the state of an ascent."""

    def __len__(self) -> int: ...

    def select(self, index: Tensor) -> Self: ...

    @staticmethod
    def cat(parts: Sequence[Any]) -> Any: ...


class Columns:
    """Tensors (B, ...) by name, all of the same B."""

    def __init__(self, **tensors: Tensor) -> None:
        self._tensors = tensors

    def __len__(self) -> int:
        return next(iter(self._tensors.values())).shape[0]

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def select(self, index: Tensor) -> Columns:
        return Columns(**{name: tensor[index] for name, tensor in self._tensors.items()})

    def rows(self, start: int, stop: int) -> Columns:
        """The rows from ``start`` up to ``stop``, without a copy."""
        return Columns(**{name: tensor[start:stop] for name, tensor in self._tensors.items()})

    def split(self, lengths: list[int]) -> list[Columns]:
        """Parts of so many rows each, one after the other, without a copy."""
        parts = {name: torch.split(tensor, lengths) for name, tensor in self._tensors.items()}
        return [Columns(**{name: parts[name][i] for name in parts}) for i in range(len(lengths))]

    def joined(self, **tensors: Tensor) -> Columns:
        """These columns and others."""
        return Columns(**self._tensors, **tensors)

    def to(self, device: torch.device | str) -> Columns:
        return Columns(**{name: tensor.to(device) for name, tensor in self._tensors.items()})

    @staticmethod
    def cat(parts: Sequence[Columns]) -> Columns:
        names: Mapping[str, Tensor] = parts[0]._tensors
        return Columns(**{name: torch.cat([part[name] for part in parts]) for name in names})


R = TypeVar("R", bound=Rows)


def padded_length(count: int, multiple: int) -> int:
    """The multiple that so many rows are filled up to; in larger batches four from each power of two to the next.

    Kernels are compiled for each number of rows they meet, and kept: for every number they would take more memory than
    the model that they serve. Beyond the multiple itself, at most a fifth of a batch is filling.
    """
    blocks = -(-count // multiple)
    step = 1 << max((blocks - 1).bit_length() - 3, 0)
    return -(-blocks // step) * step * multiple


def padded_lengths(largest: int, multiple: int) -> list[int]:
    """All sizes that batches of one row up to the ``largest`` are filled up to."""
    return sorted({padded_length(count, multiple) for count in range(1, largest + 1)})


def padded(rows: R, multiple: int) -> R:
    """The rows (B, ...) with the last one repeated up to ``padded_length``."""
    whole = padded_length(len(rows), multiple)
    return rows if whole == len(rows) else rows.select(torch.arange(whole).clamp(max=len(rows) - 1))
