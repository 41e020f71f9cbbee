"""The scheduler: one thread owns the device and takes, tick by tick, what waits. Jobs join and leave between ticks."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import torch
from torch import Tensor

from service.admission import Admission
from service.columns import Columns
from service.errors import Unavailable
from service.jobs import Job, Piece
from service.metrics import Metrics
from service.parts import Batch, Part, join
from service.programs import AnyProgram
from service.threads import compute_in, wake_promptly

logger = logging.getLogger("sluice")

_LARGE = 16
"""Rows of a request that does not wait for others."""
_PATIENCE = 0.1
"""Seconds that small pieces are held back at most."""


class Scheduler:
    """Continuous batching over programs: pieces of jobs whose programs have equal keys share a batch.

    Whenever the device is free it takes what is there, at most ``max_rows`` rows; there is no timed wait. Work of many
    ticks and work of one tick alternate, so that a long inpainting delays a score by one tick at most; among programs
    of the same sort the one that has waited longest goes first. Small pieces that have not begun may be held back
    (``hold``) while nothing else waits: whoever brings them says when no more of them are coming. An operation runs in
    so many ``threads`` (see ``threads.compute_in``).
    """

    def __init__(self, admission: Admission, max_rows: int, metrics: Metrics, threads: int | None = None) -> None:
        self._admission, self._max_rows, self._metrics, self._threads = admission, max_rows, metrics, threads
        self._changed = threading.Condition()
        self._waiting: dict[Hashable, deque[Piece]] = {}
        self._since: dict[Hashable, int] = {}
        self._served = {True: 0, False: 0}
        self._ticks = 0
        self._limits: dict[Hashable, int] = {}
        self._held = False
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sluice-device", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the tick it is in; what still waits fails with Unavailable."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread that owns the device runs."""
        return self._thread.is_alive() and self._failure is None

    def submit(self, job: Job) -> None:
        """Let a job join at the next tick. Raises Unavailable when no tick will come."""
        with self._changed:
            if self._stopping or not self.alive:
                raise Unavailable("the service no longer computes")
            first, pieces = not self._waiting, list(job.pieces(self._max_rows))
            self._enqueue(job.program.key, pieces)
            if first or not self._held or not all(map(_small, pieces)):
                self._changed.notify()

    def hold(self) -> None:
        """From now on small pieces wait for more of them, until ``release`` or a tenth of a second has passed."""
        self._held = True

    def release(self) -> None:
        """Take whatever waits."""
        with self._changed:
            self._held = False
            self._changed.notify()

    def _run(self) -> None:
        pieces: list[Piece] = []
        try:
            wake_promptly()
            compute_in(self._threads)
            while pieces := self._take():
                self._tick(pieces)
        except BaseException as error:
            logger.critical("the device thread died", exc_info=error)
            self._failure = error
        with self._changed:
            self._stopping = True
            left = [piece for queue in self._waiting.values() for piece in queue]
            self._waiting.clear()
        for piece in (*pieces, *left):
            piece.job.fail(Unavailable("the service no longer computes"))

    def _take(self) -> list[Piece]:
        """The next batch, waiting until there is one; empty when the scheduler stops."""
        with self._changed:
            while not self._stopping:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                self._gather()
                while self._waiting and not self._stopping:
                    if pieces := self._batch(self._next()):
                        return pieces
            return []

    def _gather(self) -> None:
        """Let small pieces wait for others while they are held back and nothing else waits."""

        def ready() -> bool:
            waiting = chain.from_iterable(self._waiting.values())
            return self._stopping or not self._held or not all(map(_small, waiting))

        self._changed.wait_for(ready, _PATIENCE)

    def _next(self) -> Hashable:
        def rank(key: Hashable) -> tuple[int, int]:
            return self._served[self._waiting[key][0].job.program.iterative], self._since[key]

        return min(self._waiting, key=rank)

    def _batch(self, key: Hashable) -> list[Piece]:
        """Whole pieces as they come, the last one cut to fit; pieces of jobs that are over are dropped."""
        queue = self._waiting[key]
        iterative = queue[0].job.program.iterative
        pieces: list[Piece] = []
        room = self._limits.get(key, self._max_rows)
        while queue and room:
            piece = queue.popleft()
            if piece.job.over():
                continue
            rows = len(piece)
            if rows > room:
                piece, rest = piece.split(room)
                queue.appendleft(rest)
                rows = room
            pieces.append(piece)
            room -= rows
        if pieces:
            self._ticks += 1
            self._served[iterative] = self._since[key] = self._ticks
        if not queue:
            del self._waiting[key]
        return pieces

    def _enqueue(self, key: Hashable, pieces: Sequence[Piece]) -> None:
        """Pieces of programs of this key, behind those that wait already."""
        if not pieces:
            return
        if key not in self._waiting:
            self._waiting[key] = deque()
            self._since[key] = self._ticks
        self._waiting[key].extend(pieces)

    def _tick(self, pieces: list[Piece]) -> None:
        program, lengths = pieces[0].job.program, list(map(len, pieces))
        for piece in pieces:
            if not piece.started:
                self._metrics.waited(program.kind, time.monotonic() - piece.job.submitted)
        going_on: list[Piece] = []
        news: list[News] = []
        began = time.perf_counter()
        # An ascent needs a gradient, which inference mode forbids; its weights ask for none, so nothing is recorded.
        with torch.inference_mode(not program.iterative):
            self._advance(pieces, going_on, news)
        seconds = time.perf_counter() - began
        self._admission.measure(sum(lengths), seconds)
        self._metrics.tick(program.kind, program.model.reference, sum(lengths), seconds)
        self._admission.spend((piece.job.ticket, rows) for piece, rows in zip(pieces, lengths, strict=True))
        for each in news:
            each.tell()
        with self._changed:
            self._enqueue(program.key, going_on)

    def _advance(self, pieces: list[Piece], going_on: list[Piece], news: list[News]) -> None:
        """One tick for every piece: who needs another, and what is to tell. What cannot be computed fails alone."""
        try:
            _step(pieces, going_on, news)
            return
        except torch.OutOfMemoryError:
            rows = sum(map(len, pieces))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._metrics.out_of_memory.inc()
            if rows == 1:
                pieces[0].job.fail(Unavailable("not enough memory for a single item"))
                return
            self._limits[pieces[0].job.program.key] = rows // 2
            halves = _halves_by_rows(pieces)
        except torch.AcceleratorError:
            raise  # the device is lost for the whole process: the thread ends, and liveness says so
        except Exception as error:
            if len(pieces) == 1:
                pieces[0].job.fail(error)
                return
            halves = pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]
        for half in halves:
            self._advance(half, going_on, news)


def _small(piece: Piece) -> bool:
    """Whether the tick that begins it costs about the same with others in it."""
    return not piece.started and len(piece.job.columns) < _LARGE


@dataclass(slots=True)
class News:
    """What a tick has to tell of a job: rows of it that have ended, or that somebody watches."""

    job: Job
    index: Tensor
    """(B,) int64: which rows of the job."""
    results: Columns | None = None
    """Of these rows, which have ended."""
    shown: Columns | None = None
    """What an observer wants to see of them ..."""
    ticks: int = 0
    """... after so many ticks."""

    def tell(self) -> None:
        if self.shown is not None and self.job.observer is not None:
            self.job.observer.show(self.index, self.ticks, self.shown)
        if self.results is not None:
            self.job.deliver(self.index, self.results)


def _step(pieces: list[Piece], going_on: list[Piece], news: list[News]) -> None:
    """One tick of all pieces together. Nothing has changed where it raises."""
    program = pieces[0].job.program
    _start(program, [piece for piece in pieces if not piece.started])
    batch = join([piece.rows for piece in pieces], program.rows_multiple)
    rows = program.step(batch.rows)
    spans = _spans(pieces)
    done = program.done(rows).tolist()
    ends = [
        span if piece.job.stopping else [place for place in span if done[place]]
        for piece, span in zip(pieces, spans, strict=True)
    ]
    sees = [span if piece.watched() else () for piece, span in zip(pieces, spans, strict=True)]
    results, shown = _of_those(program.result, rows, ends), _of_those(program.view, rows, sees)

    batch.rows = rows
    for piece, span, end, result, view in zip(pieces, spans, ends, results, shown, strict=True):
        piece.ticks += 1
        if piece.rows.batch is not batch:
            piece.rows = Part(batch, span)
        if view is not None:
            news.append(News(piece.job, piece.index, shown=view, ticks=piece.ticks))
        if len(end) == len(span):
            news.append(News(piece.job, piece.index, result))
        elif end:
            over = torch.tensor(done[span.start : span.stop])
            news.append(News(piece.job, piece.index[over], result))
            going_on.append(piece.select((~over).nonzero().flatten()))
        else:
            going_on.append(piece)


def _start(program: AnyProgram, pieces: list[Piece]) -> None:
    """The first thing in a piece's first tick, for all that begin with it together."""
    if not pieces:
        return
    batch = join([piece.rows for piece in pieces], program.rows_multiple)
    batch = Batch(program.start(batch.rows), batch.members)
    for piece, span in zip(pieces, _spans(pieces), strict=True):
        piece.rows, piece.started, piece.job.begun = Part(batch, span), True, True


def _spans(pieces: Sequence[Piece]) -> list[range]:
    """Each piece's places in the batch that they make up in this order."""
    stops = list(accumulate(map(len, pieces)))
    return list(map(range, (0, *stops), stops))


def _of_those(
    columns: Callable[[Any], Columns], rows: Any, places: Sequence[Sequence[int]]
) -> Sequence[Columns | None]:
    """For each piece, columns of the rows at its places, on the CPU; computed for all of them together."""
    every = list(chain.from_iterable(places))
    if not every:
        return [None] * len(places)
    whole = columns(rows if len(every) == len(rows) else rows.select(torch.tensor(every))).to("cpu")
    parts = whole.split(list(map(len, places)))
    return [part if those else None for part, those in zip(parts, places, strict=True)]


def _halves_by_rows(pieces: list[Piece]) -> tuple[list[Piece], list[Piece]]:
    half = sum(map(len, pieces)) // 2
    left: list[Piece] = []
    right: list[Piece] = []
    for piece in pieces:
        if len(piece) <= half:
            left.append(piece)
        elif half:
            head, tail = piece.split(half)
            left.append(head)
            right.append(tail)
        else:
            right.append(piece)
        half = max(half - len(piece), 0)
    return left, right
