"""Costs of this machine, and what a replica on it does at some loads beside what the simulation says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from statistics import median
from typing import NamedTuple

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from bench.scaling.costs import Costs
from bench.scaling.fit import Load, costs_of
from bench.scaling.plan import Mix, capacity
from bench.scaling.simulation import Replica, simulate
from bench.serving import get, served
from bench.side_by_side import payloads, processes
from bench.side_by_side.load import Request
from bench.side_by_side.offered import moments, offer
from model_store import default_root
from service.cpus import usable_cpus

_RATE = 50.0
"""Requests a second of the lightest load."""
_DOUBLINGS, _LEAST, _LATE = 7, 3, 4.0
"""Loads at most and at least; the service keeps up while the median request takes less than so many times as long."""
SHARES = (0.1, 0.2, 0.3, 0.45, 0.6)
"""The loads of the check, as shares of what the simulation says the replica can do."""
WITHIN = 0.2
"""The deviation that is allowed."""
_PROMISE = 0.25
"""The p99 in seconds up to which it can do it."""


class Checked(NamedTuple):
    """One load: what was measured, and what the simulation said."""

    replicas: int
    offered: float
    rate: tuple[float, float]
    p50: tuple[float, float]
    p99: tuple[float, float]

    @property
    def worst(self) -> float:
        """The greatest deviation of the simulation, as a share of what was measured."""
        return max(abs(said / found - 1) for found, said in (self.rate, self.p50, self.p99))


def request_of(model: str) -> Request:
    """A score of one random picture as a PNG."""
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    return payloads.picture(f"/score?model={model}", pixels)


def measure(model: str, seconds: float) -> Costs:
    """The costs of a score with a model of 28x28 pictures that ships, with one api process and one thread.

    From loads at random moments, each twice the one before, as far as the service keeps up.
    """
    request = request_of(model)
    loads: list[Load] = []
    with _service(model) as (root, address):
        offer(address, request, _RATE, 1)
        for doubled in range(_DOUBLINGS):
            load = _load(root, address, request, _RATE * 2**doubled, seconds)
            if load is None:
                break
            loads.append(load)
            if len(loads) >= _LEAST and median(load.took) > _LATE * median(loads[0].took):
                break
    if len(loads) < _LEAST:
        raise SystemExit(f"{len(loads)} loads were answered in full, and {_LEAST} are needed: the machine is too busy")
    return costs_of(loads)


def _load(root: int, address: str, request: Request, rate: float, seconds: float) -> Load | None:
    """What a load took; None where not every request was answered."""
    before, ticks, rows, own = _cpu(root), *_ticks(address), time.process_time()
    done = offer(address, request, rate, seconds, seed=0)
    own = time.process_time() - own
    after, (ticks_after, rows_after) = _cpu(root), _ticks(address)
    if done.other or done.refused:
        return None
    api, device = (after[role] - before[role] for role in ("api", "device"))
    ticks = ticks_after - ticks
    each = (api / done.sent, own / done.sent, device / ticks, (rows_after - rows) / ticks)
    return Load(done.sent / seconds, *each, done.took)


def _ticks(address: str) -> tuple[float, float]:
    """The number of ticks of scores so far, and of their rows."""
    _, exposition = get(address, "/metrics")
    samples = [each for family in text_string_to_metric_families(exposition.decode()) for each in family.samples]
    found = {each.name: each.value for each in samples if each.labels.get("kind") == "score"}
    return found.get("sluice_tick_rows_count", 0.0), found.get("sluice_tick_rows_sum", 0.0)


def check(model: str, costs: Costs, seconds: float, replicas: int = 1) -> Iterator[Checked]:
    """Replicas on this machine at the loads of ``SHARES``: requests at random moments, measured and simulated alike."""
    replica = Replica(cores=usable_cpus(), services=replicas)
    best = capacity(replica, costs, Mix(), _PROMISE)
    if best is None:
        raise SystemExit(f"the simulation says that no load has a p99 of {_PROMISE * 1e3:.0f} ms here")
    with ExitStack() as opened:
        addresses = [opened.enter_context(_service(model))[1] for _ in range(replicas)]
        offer(addresses, request_of(model), best.rate / 5, 2)
        for place, share in enumerate(SHARES):
            rate = best.rate * share
            done = offer(addresses, request_of(model), rate, seconds, seed=place)
            if done.other or done.refused or not done.took:
                raise SystemExit(f"{done.other + len(done.refused)} of {done.sent} requests failed")
            same = moments(rate, seconds, seed=place)
            said = simulate(replica, costs, lambda _: iter(same), Mix(), seconds, seed=place)  # noqa: B023
            took = sorted(done.took)
            yield Checked(
                replicas,
                rate,
                (len(done.took) / seconds, said.rate),
                (took[len(took) // 2], said.quantile(0.5)),
                (took[int(0.99 * len(took))], said.quantile(0.99)),
            )


def table(found: Sequence[Checked]) -> str:
    """The rows of the check for people, and the verdict."""
    lines = [
        "| replicas | requests/s | answered, measured | simulated | p50, measured | simulated | p99, measured | "
        "simulated | off by |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in found:
        times = (f"{value * 1e3:.1f} ms" for pair in (each.p50, each.p99) for value in pair)
        rates = f"{each.offered:,.0f} | {each.rate[0]:,.0f} | {each.rate[1]:,.0f}"
        lines.append(f"| {each.replicas} | {rates} | {' | '.join(times)} | {each.worst:.0%} |")
    worst = max(each.worst for each in found)
    near = sum(each.worst <= WITHIN for each in found)
    lines += [
        "",
        f"The simulation is off by at most {worst:.0%} of what was measured; {WITHIN:.0%} is allowed: "
        f"**{'met' if near == len(found) else 'not met'}**, {near} of {len(found)} loads are within it. "
        f"{os.cpu_count()} CPUs.",
    ]
    return "\n".join(lines)


def _service(model: str) -> AbstractContextManager[tuple[int, str]]:
    return served(default_root(), default_model=model, device="cpu", api_processes="1", threads="1", drain_delay="0")


def _cpu(root: int) -> dict[str, float]:
    return {role: processes.cpu_seconds(those) for role, those in processes.by_role(root).items()}
