"""The scheduler forms the batches: whenever the device is free, it takes what waits. Jobs join and leave between ticks.

This is continuous batching with two kinds of work. There is no timed wait: batches form because the device drains all
that waits before each tick.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from flows import FlowError
from flows.pauses import pausing
from service.device.account import Account
from service.device.device_metrics import DeviceMetrics
from service.device.fairness import FairQueue, TickLengths
from service.device.jobs import Climbers, Job, Piece, Slice, halves, pieces_of
from service.device.memory import out_of_memory
from service.device.pauses import Balance, Pauses
from service.device.runner import Runner
from service.device.stopwatch import Stopwatch
from service.device.threads import Threads
from service.device.ticks import Outcome, Wave, climb, compute
from service.protocol.errors import OutOfMemory, Problem, Unexpected, WrongValue

logger = logging.getLogger("sluice")


class Scheduler:
    """Queues of pieces by program key. Belongs to the device's loop.

    Work of many ticks and work of one tick alternate, so that a long inpainting delays a score by one tick at most;
    while several API keys ask, the two get equal time. Among programs of the same sort the one that has waited longest
    goes first, within one API keys take turns.
    """

    def __init__(
        self, account: Account, max_rows: int, metrics: DeviceMetrics, threads: Threads, runner: Runner
    ) -> None:
        self._account, self._max_rows, self._metrics = account, max_rows, metrics
        self._threads, self._runner = threads, runner
        self._waiting: dict[Hashable, FairQueue] = {}
        self._lengths = TickLengths()
        self._since: dict[Hashable, int] = {}
        self._served = {True: 0, False: 0}
        self._balance = Balance()
        self._ticks = 0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def submit(self, job: Job) -> None:
        """Let a job join at the next tick."""
        self._lengths.came(job.tenant, brief=not job.program.iterative)
        self._enqueue(job.program.key, list(pieces_of(job, self._max_rows)))

    def fail_all(self, problem: Problem) -> None:
        """End everything that waits."""
        for queue in self._waiting.values():
            for piece in queue:
                piece.job.fail(problem)
        self._waiting.clear()

    def tick(self, between: Callable[[], None] | None = None) -> list[Wave]:
        """Form one batch and take it through the device; the jobs that this ended.

        ``between``, where given, is called in pauses of a step of work of many ticks, while others than its owners ask
        for work of one tick. It may submit jobs and call ``tick_in_pause``. What it raises is raised after the step.
        """
        while self._waiting:
            if pieces := self._batch(self._next(self._waiting)):
                return self._run(pieces, between)
        return []

    def tick_in_pause(self) -> list[Wave]:
        """One tick of work that needs one, if any waits; the jobs that this ended."""
        while brief := [key for key, queue in self._waiting.items() if not queue.first.job.program.iterative]:
            if pieces := self._batch(self._next(brief)):
                return self._run(pieces)
        return []

    def _next(self, keys: Iterable[Hashable]) -> Hashable:
        among = list(keys)
        if len(among) == 1:
            return among[0]
        lead = self._balance.lead if self._lengths.contended else 0.0

        def rank(key: Hashable) -> tuple[float, int, int]:
            iterative = self._waiting[key].first.job.program.iterative
            return 0.0 if iterative else lead, self._served[iterative], self._since[key]

        return min(among, key=rank)

    def _batch(self, key: Hashable) -> list[Piece]:
        """Whole pieces as they come, the last one cut to fit; pieces of jobs that are over are left out."""
        queue = self._waiting[key]
        program = queue.first.job.program
        pieces: list[Piece] = []
        room = self._lengths.most_rows(key, self._runner.sizes(program).most())
        # Rows of many ticks stay together: a batch whose members change is copied.
        share = room if program.iterative else queue.share(room)
        while queue and room:
            most = min(share, room) if queue.contended else room
            piece = queue.popleft()
            if piece.job.over or piece.job.late():
                continue
            rows = len(piece)
            if rows > most:
                piece, rest = piece.split(most)
                queue.appendleft(rest)
                rows = most
            pieces.append(piece)
            room -= rows
        if pieces:
            self._ticks += 1
            self._served[program.iterative] = self._since[key] = self._ticks
        if not queue:
            del self._waiting[key]
        return pieces

    def _enqueue(self, key: Hashable, pieces: Sequence[Piece]) -> None:
        if not pieces:
            return
        if key not in self._waiting:
            self._waiting[key] = FairQueue()
            self._since[key] = self._ticks
        self._waiting[key].extend(pieces)

    def _run(self, pieces: list[Piece], between: Callable[[], None] | None = None) -> list[Wave]:
        program, rows = pieces[0].job.program, sum(map(len, pieces))
        costs = [piece.cost for piece in pieces]
        self._note_waits(program.kind, pieces)
        outcome = Outcome()
        error: Exception | None = None
        with self._threads.computing(program, rows) as watch:
            if program.iterative:
                error = self._pausing_step(pieces, outcome, watch, between)
            else:
                self._advance(pieces, outcome)
            self._runner.sizes(program).grow()
            seconds = watch.seconds
        if not program.iterative:
            self._balance.ticked(seconds)
        self._account.measure(sum(costs), seconds)
        self._lengths.took(program.key, pieces, seconds)
        self._metrics.tick(program.kind, program.model.reference, rows, sum(costs), seconds)
        for piece, cost in zip(pieces, costs, strict=True):
            piece.job.holding.spend(cost)
        self._enqueue(program.key, outcome.going_on)
        if error is not None:
            raise error
        return outcome.waves

    def _pausing_step(
        self, pieces: Sequence[Piece], outcome: Outcome, watch: Stopwatch, between: Callable[[], None] | None
    ) -> Exception | None:
        """One step of work of many ticks; what ``between`` raised in a pause of it."""
        serves = between is not None and self._lengths.asked_beside({piece.job.tenant for piece in pieces})
        pauses = Pauses(watch, self._balance, between)
        with pausing(pieces[0].job.program.flow, pauses) if serves else nullcontext():
            self._advance(pieces, outcome)
        pauses.settle()
        return pauses.error

    def _note_waits(self, kind: str, pieces: Sequence[Piece]) -> None:
        now = time.monotonic()
        for piece in pieces:
            job = piece.job
            if not job.begun:
                job.begun = True
                if job.holding.counted:
                    self._metrics.waited(kind, job.program.model.reference, now - job.submitted)

    def _advance(self, pieces: Sequence[Piece], outcome: Outcome) -> None:
        """One tick for every piece. What cannot be computed fails alone."""
        try:
            self._step(pieces, outcome)
            return
        except Exception as error:
            both: Sequence[Sequence[Piece]]
            if out_of_memory(error):
                rows = sum(map(len, pieces))
                self._make_room(pieces[0].job.program, rows)
                if rows == 1:
                    pieces[0].job.fail(OutOfMemory("not enough memory for a single item"))
                    return
                both = halves(pieces)
            elif isinstance(error, torch.AcceleratorError):
                raise  # the device is lost for the whole process, which ends and is started again
            elif len(pieces) == 1:
                pieces[0].job.fail(_problem(error))
                return
            else:
                both = pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]
        for half in both:
            self._advance(half, outcome)

    def _make_room(self, program: Any, rows: int) -> None:
        self._metrics.out_of_memory.inc()
        self._runner.sizes(program).shrink(rows)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _step(self, pieces: Sequence[Piece], outcome: Outcome) -> None:
        program = pieces[0].job.program
        if program.iterative:
            # An ascent needs a gradient, which inference mode forbids. Weights ask for none, so nothing is recorded.
            climb(self._runner, program, [piece for piece in pieces if isinstance(piece, Climbers)], outcome)
            return
        with torch.inference_mode():
            compute(self._runner, program, [piece for piece in pieces if isinstance(piece, Slice)], outcome)


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, FlowError):
        return WrongValue(str(error))
    logger.error("a tick failed", exc_info=error)
    problem = Unexpected()
    problem.__cause__ = error
    return problem
