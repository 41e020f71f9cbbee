"""Single pictures, one per request: Sluice and every peer in turns, so that other work hits all alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPException
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch

from bench.serving import connect
from bench.side_by_side import processes
from bench.side_by_side.contenders import Contender
from bench.side_by_side.load import Load, ask, drive
from bench.side_by_side.published_model import PublishedModel
from bench.side_by_side.report import Row, table

CONNECTIONS = (1, 8, 32, 128)
CPU_AT = 32
AGREEMENT = 0.01
"""Nats within which float32 answers must agree."""
_ASKED = 16
"""Digits whose answers are compared."""
_WARM_UP = 2.0
_TIMEOUT = 60.0


class Bars(NamedTuple):
    """What Sluice is to reach: requests/s in times the best peer's, and p50 at one connection as a share of its."""

    at_32: float
    at_128: float
    p50: float


FASTEST = Bars(3.0, 2.5, 0.5)
"""With nets in bfloat16."""
FLOAT32 = Bars(1.5, 1.2, 1.0)
"""With nets in float32, like all peers."""


@dataclass
class Outcome:
    """What was measured of one contender.

    ``loads`` holds one Load a round for each number of connections, and ``cpu_ms`` the CPU time of all its processes
    for one request at CPU_AT connections. ``difference`` is the largest difference between its answers and those in
    process, in nats. ``failure`` says why the contender is not in the table.
    """

    contender: Contender
    loads: dict[int, list[Load]] = field(default_factory=lambda: {connections: [] for connections in CONNECTIONS})
    cpu_ms: list[float] = field(default_factory=list)
    difference: float | None = None
    failure: str | None = None

    def rate(self, connections: int) -> float:
        """Good answers per second, the mean over rounds."""
        return fmean(load.rate for load in self.loads[connections])

    @property
    def p50_ms(self) -> float:
        """Median latency at one connection, the mean over rounds."""
        return fmean(load.p50_ms for load in self.loads[1])

    @property
    def failures(self) -> int:
        """Requests that failed in all rounds."""
        return sum(load.failures for loads in self.loads.values() for load in loads)


def compare(contenders: Sequence[Contender], model: PublishedModel, seconds: float, rounds: int) -> list[Outcome]:
    """Start and measure each contender in every round; rounds begin with different contenders."""
    outcomes = [Outcome(contender) for contender in contenders]
    for number in range(rounds):
        first = number * len(outcomes) // rounds
        for outcome in outcomes[first:] + outcomes[:first]:
            if outcome.failure is None:
                print(f"round {number + 1} of {rounds}: {outcome.contender.name}", file=sys.stderr, flush=True)
                _measure(outcome, model, seconds)
    return outcomes


def _measure(outcome: Outcome, model: PublishedModel, seconds: float) -> None:
    contender = outcome.contender
    try:
        with contender.start() as address:
            if outcome.difference is None:
                outcome.difference = _difference(contender, address, model)
            request = contender.ask(model.digits[0])
            drive(address, request, 32, _WARM_UP)
            for connections in CONNECTIONS:
                before = processes.cpu_seconds_below(os.getpid())
                load = drive(address, request, connections, seconds)
                outcome.loads[connections].append(load)
                if connections == CPU_AT:
                    taken = processes.cpu_seconds_below(os.getpid()) - before
                    outcome.cpu_ms.append(1000 * taken / max(load.requests, 1))
    except (RuntimeError, OSError, HTTPException, ValueError, KeyError) as error:
        outcome.failure = str(error) or type(error).__name__


@torch.inference_mode()
def _difference(contender: Contender, address: str, model: PublishedModel) -> float:
    flow, digits = model.model.flow, model.digits[:_ASKED]
    expected = flow.log_prob(flow.to_continuous(torch.from_numpy(digits))).tolist()
    with closing(connect(address, _TIMEOUT)) as connection:
        found = [contender.read(ask(connection, contender.ask(pixels))) for pixels in digits]
    return float(np.abs(np.array(found) - expected).max())


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The whole table, and a line on each contender that is not in it."""
    there = [outcome for outcome in outcomes if outcome.failure is None]
    head = (
        "requests/s at connections",
        *map(str, CONNECTIONS),
        "p50 at 1, ms",
        f"CPU ms each at {CPU_AT}",
        "nats apart",
        "failed requests",
    )
    yield from table(
        head,
        (
            (
                outcome.contender.name,
                *(f"{outcome.rate(connections):,.0f}" for connections in CONNECTIONS),
                f"{outcome.p50_ms:.2f}",
                f"{fmean(outcome.cpu_ms):.2f}",
                f"{outcome.difference:.1e}",
                f"{outcome.failures:,}",
            )
            for outcome in there
        ),
    )
    for outcome in outcomes:
        if outcome.failure is not None:
            yield f"\n{outcome.contender.name}: not run, {outcome.failure}"


def rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """Each Sluice against the best peer of each column, and whether all float32 answers agree."""
    there = [outcome for outcome in outcomes if outcome.failure is None]
    ours = [outcome for outcome in there if outcome.contender.is_sluice]
    peers = [outcome for outcome in there if not outcome.contender.is_sluice]
    if peers:
        for outcome in ours:
            yield from _against(outcome, peers)
    float32 = [outcome for outcome in there if outcome.contender.is_float32]
    if not float32:
        return
    # numpy's maximum is NaN where any is, and NaN agrees with nothing.
    worst = float(np.max([float("nan") if each.difference is None else each.difference for each in float32]))
    yield Row(
        f"all {len(float32)} that compute in float32 give the same answers",
        f"{AGREEMENT} nats apart",
        f"{worst:.1e} nats",
        worst <= AGREEMENT,
    )


def _against(ours: Outcome, peers: Sequence[Outcome]) -> Iterator[Row]:
    name = ours.contender.name
    bars = FLOAT32 if ours.contender.is_float32 else FASTEST
    for connections, times in ((32, bars.at_32), (128, bars.at_128)):
        best = max(peers, key=lambda peer: peer.rate(connections))
        ratio = ours.rate(connections) / best.rate(connections)
        yield Row(
            f"{name}: one picture, {connections} connections",
            f"{times:.1f} times the best peer's requests/s",
            f"{ratio:.2f} times {best.contender.name}'s",
            ratio >= times,
        )
    best = min(peers, key=lambda peer: peer.p50_ms)
    share = ours.p50_ms / best.p50_ms
    yield Row(
        f"{name}: the same, 1 connection, p50",
        f"{bars.p50:.1f} of the best peer's",
        f"{share:.2f} of {best.contender.name}'s",
        share <= bars.p50,
    )
