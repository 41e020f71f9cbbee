"""A job: the rows of one request on their way through the device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from service.device.account import Holding
from service.device.batch import Batch, Share
from service.device.columns import Columns
from service.protocol.errors import DeadlinePassed, Problem
from service.protocol.messages import Options


class Observer(Protocol):
    """Looks at a job's rows between ticks."""

    def due(self, ticks: int) -> bool:
        """Whether the rows are to be shown after this number of ticks."""

    def show(self, index: Tensor, ticks: int, view: Columns) -> None:
        """The program's view of the rows ``index`` (K,) of the job after this number of ticks."""


class Owner(Protocol):
    """Who a job belongs to: a request of an api process, or None of them. Hears of its end, once."""

    @property
    def peer(self) -> str | None: ...

    @property
    def number(self) -> int: ...

    def failed(self, problem: Problem) -> None: ...

    def completed(self) -> None: ...


class Job:
    """Rows of one request for one program.

    ``deadline`` is a reading of time.monotonic(). ``tenant`` is the API key whose job it is, "" where there are none:
    keys get their turns one after another. A job that its client has left is ``drop``-ped: its rows leave at the
    next tick and its owner hears nothing more. ``begun`` says whether any of its rows have had a tick.
    """

    __slots__ = (
        "_arrived",
        "_results",
        "begun",
        "columns",
        "deadline",
        "holding",
        "observer",
        "options",
        "over",
        "owner",
        "program",
        "row_costs",
        "stopping",
        "submitted",
        "tenant",
    )

    def __init__(
        self,
        program: Any,
        columns: Columns,
        holding: Holding,
        deadline: float,
        owner: Owner,
        options: Options | None = None,
        observer: Observer | None = None,
        tenant: str = "",
    ) -> None:
        self.program, self.columns, self.holding, self.deadline = program, columns, holding, deadline
        self.owner, self.options, self.observer = owner, options or Options(), observer
        self.tenant = tenant
        self.submitted = time.monotonic()
        self.begun = self.stopping = self.over = False
        self.row_costs: Sequence[int] | None = program.row_costs(columns)
        self._results: list[tuple[Tensor, Columns]] = []
        self._arrived = 0

    def __len__(self) -> int:
        return len(self.columns)

    def cost(self, rows: Sequence[int]) -> int:
        """Item-ticks of one tick of some rows."""
        return len(rows) if self.row_costs is None else sum(self.row_costs[row] for row in rows)

    def stop(self) -> None:
        """Be content with what the rows are after their next tick."""
        self.stopping = True

    def late(self) -> bool:
        """Whether the deadline has passed; the job fails then."""
        if time.monotonic() <= self.deadline:
            return False
        self.fail(DeadlinePassed())
        return True

    def close(self) -> bool:
        """The job is over. False when it was already."""
        if self.over:
            return False
        self.over = True
        self.holding.close()
        return True

    drop = close

    def fail(self, problem: Problem) -> None:
        """End the job with a problem, unless it is over."""
        if self.close():
            self.owner.failed(problem)

    def deliver(self, index: Tensor, results: Columns) -> Columns | None:
        """Keep results of the rows ``index`` (K,); all of the job's, in order, with the last of them."""
        self._results.append((index, results))
        self._arrived += len(index)
        if self._arrived < len(self):
            return None
        if len(self._results) == 1:
            return results
        order = torch.cat([index for index, _ in self._results]).argsort()
        return Columns.cat([results for _, results in self._results]).select(order)


@dataclass(slots=True)
class Slice:
    """Rows ``start`` to ``stop`` of a job that needs one tick; a job larger than a batch is cut into several."""

    job: Job
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def cost(self) -> int:
        """Item-ticks of its tick."""
        return self.job.cost(range(self.start, self.stop))

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows of the job."""
        return len(self) == len(self.job)

    @property
    def columns(self) -> Columns:
        return self.job.columns if self.is_whole else self.job.columns.rows(self.start, self.stop)

    def split(self, count: int) -> tuple[Slice, Slice]:
        """The first ``count`` rows, and the others."""
        middle = self.start + count
        return Slice(self.job, self.start, middle), Slice(self.job, middle, self.stop)


@dataclass(slots=True)
class Climbers:
    """Rows of an iterative job that travel together; rows that end early leave it."""

    job: Job
    index: Tensor
    """(B,) int64: which rows of the job."""
    share: Share
    """Of what the program works on; before the first tick, of the columns that were sent."""
    started: bool = False
    ticks: int = 0
    """Ticks that its rows have had, all of them the same number."""

    def __len__(self) -> int:
        return len(self.share.places)

    @property
    def cost(self) -> int:
        """Item-ticks of a tick."""
        return len(self) if self.job.row_costs is None else self.job.cost(self.index.tolist())

    def watched(self) -> bool:
        """Whether its rows are to be shown after the coming tick."""
        return self.job.observer is not None and self.job.observer.due(self.ticks + 1)

    def select(self, rows: Tensor) -> Climbers:
        return replace(self, index=self.index[rows], share=self.share.select(rows))

    def split(self, count: int) -> tuple[Climbers, Climbers]:
        """The first ``count`` rows, and the others."""
        return self.select(torch.arange(count)), self.select(torch.arange(count, len(self)))


Piece = Slice | Climbers


def pieces_of(job: Job, largest: int) -> Iterator[Piece]:
    """A job cut into pieces of at most ``largest`` rows."""
    count = len(job)
    for start in range(0, count, largest):
        stop = min(start + largest, count)
        if job.program.iterative:
            share = Share(Batch(job.columns.rows(start, stop), stop - start), range(stop - start))
            yield Climbers(job, torch.arange(start, stop), share)
        else:
            yield Slice(job, start, stop)


def halves(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Pieces in two lists of about equally many rows."""
    room = sum(map(len, pieces)) // 2
    left: list[Piece] = []
    right: list[Piece] = []
    for piece in pieces:
        if len(piece) <= room:
            left.append(piece)
        elif room:
            head, tail = piece.split(room)
            left.append(head)
            right.append(tail)
        else:
            right.append(piece)
        room = max(room - len(piece), 0)
    return left, right
