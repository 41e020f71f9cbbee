"""Costs of this machine, and what a replica on it does at some loads beside what the simulation says."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple

import numpy as np

from bench.scaling.costs import Costs
from bench.scaling.plan import Mix, capacity
from bench.scaling.simulation import Replica, simulate
from bench.serving import served
from bench.side_by_side import payloads, processes
from bench.side_by_side.load import Request
from bench.side_by_side.offered import moments, offer
from model_store import Store, default_root
from service.cpus import usable_cpus

_SIZES = (1, 8, 32, 64, 128, 256)
_REPEATS = 9
_RATE = 50.0
"""Requests a second while the costs of a request are measured: few enough for a small model on a busy machine."""
SHARES = (0.2, 0.4, 0.6, 0.75, 0.9)
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
    """The costs of a score with a model of 28x28 pictures that ships, with one api process and one thread."""
    ticks = tick_seconds(model)
    with _service(model) as (root, address):
        request = request_of(model)
        offer(address, request, _RATE, 1)
        before, own = _cpu(root), time.process_time()
        done = offer(address, request, _RATE, seconds)
        after, own = _cpu(root), time.process_time() - own
    if done.other or done.refused:
        raise SystemExit(f"{done.other + len(done.refused)} of {done.sent} requests failed")
    api, device = ((after[role] - before[role]) / done.sent for role in ("api", "device"))
    return Costs(
        api_before=api * 2 / 3,
        api_after=api / 3,
        api_item=api / 10,
        device=max(device - ticks[1], 0.0),
        ticks={"score": ticks},
        max_rows=max(_SIZES),
        client=own / done.sent,
    )


def tick_seconds(model: str) -> dict[int, float]:
    """The median length of a tick by its rows, in this process, in one thread."""
    import torch

    from flows.nets.precision import exact_float32
    from service.device import hardware
    from service.device.columns import Columns
    from service.device.programs import Score
    from service.device.runner import Runner
    from service.settings import Settings

    store, device = Store(default_root()), torch.device("cpu")
    loaded = store.load(*store.resolve(model), bfloat16=hardware.bfloat16_allowed(Settings(), device))
    program, runner = Score(loaded), Runner(device, max(_SIZES))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {}
    try:
        with exact_float32(), torch.inference_mode():
            for rows in _SIZES:
                items = torch.randint(0, 256, (rows, *loaded.flow.item_shape), dtype=torch.uint8)
                columns = Columns({"items": items, "seed": torch.zeros(rows, dtype=torch.int64)})
                runner.compute(program, columns)
                found[rows] = statistics.median(_seconds(lambda: runner.compute(program, columns)))  # noqa: B023
    finally:
        torch.set_num_threads(threads)
    return found


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
        f"**{'met' if near == len(found) else 'not met'}**, at {near} of {len(found)} loads. {os.cpu_count()} CPUs.",
    ]
    return "\n".join(lines)


def _service(model: str) -> AbstractContextManager[tuple[int, str]]:
    return served(default_root(), default_model=model, device="cpu", api_processes="1", threads="1", drain_delay="0")


def _cpu(root: int) -> dict[str, float]:
    return {role: processes.cpu_seconds(those) for role, those in processes.by_role(root).items()}


def _seconds(act: Callable[[], object]) -> Iterator[float]:
    for _ in range(_REPEATS):
        began = time.perf_counter()
        act()
        yield time.perf_counter() - began
