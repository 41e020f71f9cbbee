"""One tick: a batch of pieces goes through the device once, and the jobs that this ends are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby
from typing import Any

import torch

from service.device.batch import Batch, Share, join
from service.device.columns import Columns
from service.device.jobs import Climbers, Job, Slice
from service.device.program import OneTick
from service.device.programs import Inpaint
from service.device.runner import Runner


@dataclass(slots=True)
class Wave:
    """Jobs of one program that ended together; their rows follow one another in ``columns``."""

    program: Any
    jobs: list[Job]
    columns: Columns


@dataclass(slots=True)
class Outcome:
    """What a tick leads to: jobs that ended, and pieces that need another tick."""

    waves: list[Wave] = field(default_factory=list)
    going_on: list[Climbers] = field(default_factory=list)


def compute(runner: Runner, program: OneTick, slices: Sequence[Slice], outcome: Outcome) -> None:
    """The only tick of rows that need one. Nothing has changed where it raises."""
    columns = Columns.cat([piece.columns for piece in slices])
    found = runner.compute(program, columns)
    start = 0
    for whole, run in groupby(slices, key=lambda piece: piece.is_whole):
        pieces = list(run)
        stop = start + sum(map(len, pieces))
        rows = found if stop - start == len(found) else found.rows(start, stop)
        if whole:
            outcome.waves.append(Wave(program, [piece.job for piece in pieces], rows))
        else:
            _deliver_parts(program, pieces, rows, outcome)
        start = stop


def _deliver_parts(program: OneTick, pieces: Sequence[Slice], rows: Columns, outcome: Outcome) -> None:
    start = 0
    for piece in pieces:
        stop = start + len(piece)
        whole = piece.job.deliver(torch.arange(piece.start, piece.stop), rows.rows(start, stop))
        if whole is not None:
            outcome.waves.append(Wave(program, [piece.job], whole))
        start = stop


def climb(runner: Runner, program: Inpaint, pieces: Sequence[Climbers], outcome: Outcome) -> None:
    """One step of inpaintings. Nothing has changed where it raises."""
    _begin(runner, program, [piece for piece in pieces if not piece.started])
    batch = join([piece.share for piece in pieces], runner.sizes(program).fit)
    rows = runner.step(program, batch.rows)
    done = program.done(rows).tolist()
    places = _places(pieces)
    steps = [
        _Step(piece, span, _ending(piece, span, done), span if piece.watched() else range(0))
        for piece, span in zip(pieces, places, strict=True)
    ]
    results = _of(program.result, rows, [step.ending for step in steps])
    views = _of(program.view, rows, [step.watched for step in steps])
    batch.rows = rows
    for step, result, view in zip(steps, results, views, strict=True):
        _settle(program, step, batch, result, view, outcome)


@dataclass(slots=True)
class _Step:
    """What one tick means for one piece: its places in the batch, those that end, those that are shown."""

    piece: Climbers
    span: range
    ending: Sequence[int]
    watched: range


def _settle(
    program: Inpaint, step: _Step, batch: Batch, result: Columns | None, view: Columns | None, outcome: Outcome
) -> None:
    piece, span = step.piece, step.span
    piece.ticks += 1
    if piece.share.batch is not batch:
        piece.share = Share(batch, span)
    if view is not None and piece.job.observer is not None:
        piece.job.observer.show(piece.index, piece.ticks, view)
    if result is None:
        outcome.going_on.append(piece)
        return
    index = piece.index
    if len(step.ending) < len(span):
        over = torch.zeros(len(span), dtype=torch.bool)
        over[torch.tensor(step.ending) - span.start] = True
        outcome.going_on.append(piece.select((~over).nonzero().flatten()))
        index = index[over]
    whole = piece.job.deliver(index, result)
    if whole is not None:
        outcome.waves.append(Wave(program, [piece.job], whole))


def _begin(runner: Runner, program: Inpaint, pieces: Sequence[Climbers]) -> None:
    """The first thing in a piece's first tick, for all that begin together."""
    if not pieces:
        return
    batch = join([piece.share for piece in pieces], runner.sizes(program).fit)
    batch = Batch(runner.start(program, batch.rows), batch.members)
    for piece, span in zip(pieces, _places(pieces), strict=True):
        piece.share, piece.started = Share(batch, span), True


def _ending(piece: Climbers, span: range, done: Sequence[bool]) -> Sequence[int]:
    return span if piece.job.stopping else [place for place in span if done[place]]


def _places(pieces: Sequence[Climbers]) -> list[range]:
    """Each piece's places in the batch that they make up in this order."""
    stops = list(accumulate(map(len, pieces)))
    return list(map(range, (0, *stops), stops))


def _of(columns: Callable[[Any], Columns], rows: Any, places: Sequence[Sequence[int]]) -> Sequence[Columns | None]:
    """For each piece, columns of the rows at its places, on the CPU; computed for all of them together."""
    every = list(chain.from_iterable(places))
    if not every:
        return [None] * len(places)
    whole = columns(rows if len(every) == len(rows) else rows.select(torch.tensor(every))).to_cpu()
    found: list[Columns | None] = []
    start = 0
    for those in places:
        found.append(whole.rows(start, start + len(those)) if those else None)
        start += len(those)
    return found
