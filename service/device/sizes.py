"""The sizes of batches that a device computes in.

Kernels for matrix products and convolutions are chosen by the number of rows, and each adds in its own order. A row
would get other last bits among few rows than among many, and a last bit can decide between two grey levels. So a batch
is filled up to one of a few sizes, all of which gave a row the same bits when the model was loaded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.device.columns import padded_length

GPU_SIZES = (32, 256, 1024, 2048)
"""Sizes of batches on a GPU, where a pass of a few rows takes as long as one of a hundred."""
_PREFERRED = 256
"""Rows that most GPUs compute nearly as fast as one."""
_RECOVERY = 100
"""Ticks that a halved limit must hold before it is doubled."""


@dataclass
class Sizes:
    """The sizes for one kind of work on one model.

    ``proven`` are in ascending order, or a multiple of rows where any multiple gives the same bits. Out of memory sets
    a limit, which rises again while all goes well.
    """

    proven: Sequence[int] | int
    largest: int
    """Rows of the largest batch."""
    _limit: int | None = None
    _good: int = field(default=0, repr=False)

    def most(self) -> int:
        """The most rows of a tick."""
        whole = self.largest if isinstance(self.proven, int) else min(self.largest, self.proven[-1])
        return whole if self._limit is None else min(whole, self._limit)

    def fit(self, rows: int) -> int:
        """The size to which a batch of this many rows is filled up."""
        if isinstance(self.proven, int):
            return padded_length(rows, self.proven)
        size = self.proven[bisect_left(self.proven, rows)]
        # Where memory does not suffice for a proven size, an answer with other last bits is better than none.
        return size if self._limit is None or size <= self._limit else rows

    def shrink(self, rows: int) -> None:
        """A batch of this many rows ran out of memory."""
        self._limit, self._good = max(rows // 2, 1), 0

    def grow(self) -> None:
        """A tick went well."""
        if self._limit is None:
            return
        self._good += 1
        if self._good == _RECOVERY:
            self._limit, self._good = 2 * self._limit, 0
            if self._limit >= self.largest:
                self._limit = None


def gpu_sizes(largest: int) -> tuple[int, ...]:
    """The sizes to try for batches of up to ``largest`` rows on a GPU."""
    return (*(size for size in GPU_SIZES if size < largest), largest)


def agreeing(sizes: Sequence[int], agree: Callable[[int, int], bool]) -> tuple[int, ...]:
    """The sizes to use: the largest set of which any two agree.

    ``agree`` says of a smaller and a larger size whether rows get the same bits in both, and is transitive. Of sets of
    equal number the one with 256 rows is taken, where single rows are quick and large batches are too.
    """
    sets: list[list[int]] = []
    for size in sorted(sizes):
        for known in sets:
            if agree(known[0], size):
                known.append(size)
                break
        else:
            sets.append([size])

    def worth(known: list[int]) -> tuple[int, bool, int]:
        return len(known), _PREFERRED in known, -known[0]

    best: list[int] = max(sets, key=worth)
    return tuple(best)
