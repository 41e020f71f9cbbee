"""How many devices a load needs, where it breaks first, and what a lost zone does: a table each."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from bench.scaling.costs import Costs
from bench.scaling.simulation import Ask, Moments, Outcome, Replica, poisson, simulate

_SECONDS, _FEWEST_REQUESTS = 2.0, 600
"""Simulated time: hundreds of ticks, and this many requests. Above what a device can do, its queue grows within it."""
_WARM_UP = 0.25
"""The share of that time that passes before anything counts."""
_REFUSABLE = 0.001
"""The share of requests that may be refused."""
_FEWEST = 1.0
"""Requests a second below which a replica counts as too slow for a promise."""
ZONES = 3
DAY = tuple(1 + 0.8 * math.sin(2 * math.pi * (hour - 9) / 24) for hour in range(24))
"""Requests of each hour of a day over the average: a sine, whose busiest hour has nine times those of the quietest."""


@dataclass(frozen=True)
class Mix:
    """What is asked: most requests are scores of one item, some bring many, few are inpaintings."""

    inpainting: float = 0.0
    """The share of inpaintings, of one item and ``steps``."""
    steps: int = 50
    tail: float | None = None
    """The exponent of Pareto's law of the number of items; None for one item each."""
    largest: int = 256

    def __call__(self, chance: random.Random) -> Ask:
        if self.inpainting and chance.random() < self.inpainting:
            return Ask("inpaint", 1, self.steps)
        if self.tail is None:
            return Ask()
        return Ask("score", min(int(chance.paretovariate(self.tail)), self.largest))

    def __str__(self) -> str:
        items = "one item" if self.tail is None else f"1 to {self.largest} items, Pareto {self.tail:g}"
        rest = f", {self.inpainting:.1%} inpaintings of {self.steps} steps" if self.inpainting else ""
        return f"scores of {items}{rest}"


MIXES = (Mix(), Mix(tail=1.5), Mix(inpainting=0.01, tail=1.5))


class Capacity(NamedTuple):
    """The most requests a second at which a replica keeps its promise to scores."""

    rate: float
    outcome: Outcome


def capacity(replica: Replica, costs: Costs, mix: Mix, p99: float) -> Capacity | None:
    """The most requests a second with this p99 and hardly a refusal, to 3 %; None where few are too many."""

    def tried(rate: float) -> Outcome | None:
        seconds = max(_SECONDS, _FEWEST_REQUESTS / rate)
        found = simulate(replica, costs, poisson(rate), mix, seconds, warm_up=_WARM_UP * seconds)
        asked = len(found.took) + len(found.inpaintings) + found.refused
        return found if found.quantile(0.99) <= p99 and found.refused <= _REFUSABLE * asked else None

    low, high = 0.0, 50.0
    best: Outcome | None = None
    while (found := tried(high)) is not None:
        low, high, best = high, high * 2, found
    while best is None and high > _FEWEST:
        high, best = high / 2, tried(high / 2)
    if best is not None and not low:
        low, high = high, high * 2
    while best is not None and high > low * 1.03:
        middle = math.sqrt(low * high)
        found = tried(middle)
        low, high, best = (middle, high, found) if found is not None else (low, middle, best)
    return None if best is None else Capacity(low, best)


def devices_for(
    costs: Costs, requests: float, promises: tuple[float, ...], api: int, price: float
) -> Iterator[tuple[str, ...]]:
    """Rows of the table: mix, p99, requests a second of a device, devices, api processes, cost an hour, who is full."""
    for mix in MIXES:
        for p99 in promises:
            found = capacity(Replica(api=api), costs, mix, p99)
            if found is None:
                yield str(mix), f"{p99 * 1e3:.0f} ms", "0", "", "", "", "a tick alone takes longer"
                continue
            devices = math.ceil(requests / found.rate)
            yield (
                str(mix),
                f"{p99 * 1e3:.0f} ms",
                f"{found.rate:,.0f}",
                f"{devices:,}",
                f"{devices * api:,}",
                f"{devices * price:,.0f}",
                _fullest(found.outcome, api),
            )


def devices_by_hour(devices: int) -> Iterator[tuple[str, ...]]:
    """Rows of the table, given what the average hour needs: device-hours a day, and the most devices at once."""
    needed = [math.ceil(devices * share) for share in DAY]
    yield "as many as the busiest hour needs, all day", f"{24 * max(needed):,}", f"{max(needed):,}"
    # Replicas are added when work waits, so each hour has what the next one needs.
    ahead = [max(now, then) for now, then in zip(needed, [*needed[1:], needed[0]], strict=True)]
    yield "by the hour", f"{sum(ahead):,}", f"{max(ahead):,}"


def api_processes(costs: Costs, mix: Mix, p99: float, counts: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    """Rows of the table: api processes beside a device, requests a second, how busy both are."""
    for count in counts:
        found = capacity(Replica(api=count), costs, mix, p99)
        if found is not None:
            busy = found.outcome.busy, found.outcome.decoding / (found.outcome.seconds * count)
            yield str(count), f"{found.rate:,.0f}", f"{busy[0]:.0%}", f"{busy[1]:.0%}"


def lost_zone(costs: Costs, mix: Mix, p99: float, api: int) -> Iterator[tuple[str, ...]]:
    """Rows of the table: how full devices are before and after one of three zones is lost, p99 after, and refusals."""
    whole = capacity(Replica(api=api), costs, mix, p99)
    if whole is None:
        return
    pace = whole.outcome.rows / whole.outcome.computing
    for share in (0.5, 0.6, 0.66, 0.75, 0.9):
        rate = whole.rate * share
        # Half a second of work: what waits longer would be too late anyway.
        replica = replace(Replica(api=api), queue=int(pace / 2))
        # The zone is lost after one second, and what comes in the second after counts.
        found = simulate(replica, costs, _stepping(rate, rate * ZONES / (ZONES - 1), 1.0), mix, 1.0, warm_up=1.0)
        last = found.quantile(0.99)
        refused = found.refused / (found.refused + len(found.took) + len(found.inpaintings))
        yield f"{share:.0%}", f"{share * ZONES / (ZONES - 1):.0%}", f"{last * 1e3:.0f} ms", f"{refused:.1%}"


def _stepping(before: float, after: float, moment: float) -> Moments:
    """One rate of requests up to a moment, and another from then on."""

    def moments(chance: random.Random) -> Iterator[float]:
        now = 0.0
        while True:
            now += chance.expovariate(before if now < moment else after)
            yield now

    return moments


def _fullest(outcome: Outcome, api: int) -> str:
    device, decoding = outcome.busy, outcome.decoding / (outcome.seconds * api)
    rows = outcome.rows / max(outcome.ticks, 1)
    return (
        f"{'device' if device >= decoding else 'api'}: device {device:.0%}, api {decoding:.0%}, {rows:,.0f} rows a tick"
    )
