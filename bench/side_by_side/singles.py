"""Single pictures, one a request: Sluice and every peer in turns, so that what else the machine does hits all alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import httpx
import numpy as np
import torch

from bench.side_by_side import processes
from bench.side_by_side.contenders import Contender, NotStarted
from bench.side_by_side.load import Load, NoLoad, drive
from bench.side_by_side.model import Prepared
from bench.side_by_side.report import Row, table

CONNECTIONS = (1, 8, 32, 128)
CPU_AT = 32
AGREEMENT = 0.01
"""Nats within which float32 answers must agree."""
_ASKED = 16
"""Digits whose answers are compared."""
_WARM_UP = 2.0


@dataclass
class Outcome:
    """What became of a contender; ``failure`` says why it is not in the table."""

    contender: Contender
    loads: dict[int, list[Load]] = field(default_factory=lambda: {connections: [] for connections in CONNECTIONS})
    cpu_ms: list[float] = field(default_factory=list)
    """Time on any core of all its processes for one request, at CPU_AT connections."""
    difference: float | None = None
    """Nats between its answers and those in process, the largest of some."""
    failure: str | None = None

    def rate(self, connections: int) -> float:
        """Good answers a second, the mean over rounds."""
        return fmean(load.rate for load in self.loads[connections])

    @property
    def p50_ms(self) -> float:
        """At one connection."""
        return fmean(load.p50_ms for load in self.loads[1])

    @property
    def failures(self) -> int:
        return sum(load.failures for loads in self.loads.values() for load in loads)


def compare(contenders: Sequence[Contender], model: Prepared, seconds: float, rounds: int) -> list[Outcome]:
    """Each is started anew in each round, the rounds begun by different ones."""
    outcomes = [Outcome(contender) for contender in contenders]
    for number in range(rounds):
        first = number * len(outcomes) // rounds
        for outcome in outcomes[first:] + outcomes[:first]:
            if outcome.failure is None:
                print(f"round {number + 1} of {rounds}: {outcome.contender.name}", file=sys.stderr, flush=True)
                _measure(outcome, model, seconds)
    return outcomes


def _measure(outcome: Outcome, model: Prepared, seconds: float) -> None:
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
    except (NotStarted, NoLoad, httpx.HTTPError, RuntimeError, ValueError, KeyError) as error:
        outcome.failure = str(error) or type(error).__name__


@torch.inference_mode()
def _difference(contender: Contender, address: str, model: Prepared) -> float:
    flow, digits = model.model.flow, model.digits[:_ASKED]
    expected = flow.log_prob(flow.to_continuous(torch.from_numpy(digits))).tolist()
    found = []
    with httpx.Client(base_url=address, timeout=60) as client:
        for pixels in digits:
            request = contender.ask(pixels)
            answer = client.post(request.path, content=request.body, headers=dict(request.headers))
            answer.raise_for_status()
            found.append(contender.read(answer.content))
    return float(np.abs(np.array(found) - expected).max())


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The whole table, and what was left out of it."""
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
    """Of each Sluice against the best peer at each number of connections."""
    there = [outcome for outcome in outcomes if outcome.failure is None]
    ours = [outcome for outcome in there if outcome.contender.is_sluice]
    peers = [outcome for outcome in there if not outcome.contender.is_sluice]
    if not peers:
        return
    for outcome in ours:
        name = outcome.contender.name
        for connections, times in ((32, 3.0), (128, 2.0)):
            best = max(peers, key=lambda peer: peer.rate(connections))
            ratio = outcome.rate(connections) / best.rate(connections)
            yield Row(
                f"{name}: `POST /score`, one PNG, {connections} connections",
                f"{times:.0f} times the best peer's requests/s",
                f"{ratio:.2f} times {best.contender.name}'s",
                ratio >= times,
            )
        best = min(peers, key=lambda peer: peer.p50_ms)
        share = outcome.p50_ms / best.p50_ms
        yield Row(
            f"{name}: the same, 1 connection, p50",
            "half of the best peer's",
            f"{share:.2f} of {best.contender.name}'s",
            share <= 0.5,
        )
    float32 = [outcome for outcome in there if outcome.contender.is_float32]
    # Not a number is the largest to numpy, and agrees with nothing.
    worst = float(np.max([outcome.difference for outcome in float32]))
    yield Row(
        f"all {len(float32)} that compute in float32 give the same answers",
        f"{AGREEMENT} nats apart",
        f"{worst:.1e} nats",
        worst <= AGREEMENT,
    )
