"""A job: one request's rows on their way through the device. Its future may be cancelled at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from service.admission import Ticket
from service.columns import Columns
from service.errors import DeadlinePassed
from service.parts import Batch, Part
from service.programs import AnyProgram


class Observer(Protocol):
    """Somebody who wants to see a job's rows between ticks. The device thread calls, and must not be kept waiting."""

    def due(self, ticks: int) -> bool:
        """Whether rows are to be shown after so many ticks."""

    def show(self, index: Tensor, ticks: int, view: Columns) -> None:
        """The program's view of the rows ``index`` after so many ticks."""


class Job:
    """Rows of one request for one program. ``future`` gets their results as columns in the order sent.

    ``deadline`` is a reading of time.monotonic(). Cancelling the future is how a client leaves: the rows are dropped at
    the next tick, and nothing is ever set on a cancelled future.
    """

    def __init__(
        self,
        program: AnyProgram,
        columns: Columns,
        ticket: Ticket,
        deadline: float,
        observer: Observer | None = None,
    ) -> None:
        self.program, self.columns, self.ticket, self.deadline = program, columns, ticket, deadline
        self.observer = observer
        self.future: Future[Columns] = Future()
        self.submitted = time.monotonic()
        self.begun = False
        self.stopping = False
        self._results: list[tuple[Tensor, Columns]] = []
        self._arrived = 0

    def pieces(self, largest: int) -> Iterator[Piece]:
        """The job cut into pieces of at most ``largest`` rows."""
        count = len(self.columns)
        for start in range(0, count, largest):
            stop = min(start + largest, count)
            columns = self.columns if stop - start == count else self.columns.rows(start, stop)
            part = Part(Batch(columns, stop - start), range(stop - start))
            yield Piece(self, _places(start, stop), part, started=False)

    def stop(self) -> None:
        """Be content with what the rows are after their next tick."""
        self.stopping = True

    def over(self) -> bool:
        """Whether the rows need no more ticks: answered, failed, left by the client, or too late (which fails it)."""
        if self.future.done():
            return True
        if late := time.monotonic() > self.deadline:
            self.fail(DeadlinePassed())
        return late

    def deliver(self, index: Tensor, results: Columns) -> None:
        """Results of the rows ``index``; with the last of them the job is done."""
        self._results.append((index, results))
        self._arrived += len(index)
        if len(index) == len(self.columns):  # all at once: in order as they are
            self._settle(lambda: self.future.set_result(results))
        elif self._arrived == len(self.columns):
            order = torch.cat([index for index, _ in self._results]).argsort()
            whole = Columns.cat([results for _, results in self._results]).select(order)
            self._settle(lambda: self.future.set_result(whole))

    def fail(self, error: BaseException) -> None:
        self._settle(lambda: self.future.set_exception(error))

    def _settle(self, settle: Callable[[], None]) -> None:
        self.ticket.close()  # first: whoever sees the answer sees the queue without it
        # Once it is marked as running nobody can cancel it; a future that was cancelled before refuses the mark.
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            settle()


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _places(start: int, stop: int) -> Tensor:
    """Which rows of a job (stop - start,) a piece begins with; for all jobs the same tensor, never written to."""
    return torch.arange(start, stop)


@dataclass(slots=True)
class Piece:
    """Some rows of a job that travel together: a job larger than a batch is cut, and rows that end early leave."""

    job: Job
    index: Tensor
    """(B,) int64: which rows of the job."""
    rows: Part
    """Of what the job's program works on; of the columns that were sent, before it has started."""
    started: bool
    ticks: int = 0
    """That its rows have had, all of them the same number."""

    def __len__(self) -> int:
        return len(self.rows.places)

    def watched(self) -> bool:
        """Whether its rows are to be shown after the tick that comes."""
        return self.job.observer is not None and self.job.observer.due(self.ticks + 1)

    def select(self, rows: Tensor) -> Piece:
        return replace(self, index=self.index[rows], rows=self.rows.select(rows))

    def split(self, count: int) -> tuple[Piece, Piece]:
        """The first ``count`` rows, and the others."""
        return self.select(torch.arange(count)), self.select(torch.arange(count, len(self)))
