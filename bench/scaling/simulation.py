"""A discrete-event simulation of api processes in front of devices, as docs/architecture.md describes them.

A request waits for its api process, which works on one thing at a time, goes to the device where the least waits, and
back. A device takes all that waits, up to its largest batch, does one tick, and answers. Work of one tick and work of
many alternate. A full queue refuses a request before it is decoded. With costs that were measured on this machine, an
idle device takes longer for its next tick, and ticks vary in length.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import simpy

from bench.scaling.costs import Costs

Moments = Callable[[random.Random], Iterator[float]]
"""Seconds from the start at which requests come."""


@dataclass(frozen=True)
class Ask:
    """One request: score and sample need one tick, an inpainting one for each step."""

    kind: str = "score"
    items: int = 1
    steps: int = 1

    @property
    def cost(self) -> int:
        return self.items * self.steps


@dataclass(frozen=True)
class Replica:
    """One service, or several that get requests in turn: processes, and how many CPUs they share on one machine."""

    api: int = 1
    devices: int = 1
    cores: int | None = None
    """None where every process has one to itself."""
    queue: int = 4_000_000
    """Item-ticks that may wait in each service."""
    services: int = 1
    """Services with so many processes each."""


@dataclass
class Outcome:
    """What happened to the requests that came after the warm-up."""

    seconds: float
    took: list[float] = field(default_factory=list)
    """Seconds of each answer to work of one tick, from when its request came."""
    moments: list[float] = field(default_factory=list)
    """When each of these requests came."""
    inpaintings: list[float] = field(default_factory=list)
    """Seconds of each inpainting."""
    refused: int = 0
    computing: float = 0.0
    """Seconds of ticks of all devices together."""
    decoding: float = 0.0
    """Seconds of work of all api processes together."""
    rows: int = 0
    ticks: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return (len(self.took) + len(self.inpaintings)) / self.seconds

    @property
    def busy(self) -> float:
        """The share of the time that devices computed; of several together, their sum."""
        return self.computing / self.seconds

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the answers to work of one tick came; infinite where there were none."""
        if not self.took:
            return float("inf")
        return sorted(self.took)[min(int(share * len(self.took)), len(self.took) - 1)]


def poisson(rate: float) -> Moments:
    """Independent users: the gaps between requests are exponential."""

    def moments(chance: random.Random) -> Iterator[float]:
        now = 0.0
        while True:
            now += chance.expovariate(rate)
            yield now

    return moments


def simulate(
    replica: Replica,
    costs: Costs,
    moments: Moments,
    ask: Callable[[random.Random], Ask],
    seconds: float,
    *,
    warm_up: float = 0.0,
    seed: int = 0,
) -> Outcome:
    """Let requests come for ``seconds`` after a warm-up, and wait for the answers to them."""
    return _World(replica, costs, seconds, warm_up, seed).run(moments, ask)


class _Waiting:
    """A request in a device: the ticks that it still needs."""

    __slots__ = ("api", "ask", "done", "left")

    def __init__(self, ask: Ask, api: simpy.Resource, done: simpy.Event) -> None:
        self.ask, self.api, self.done, self.left = ask, api, done, ask.steps


class _Service(NamedTuple):
    """The processes of one service."""

    api: list[simpy.Resource]
    devices: list[_Device]


class _World:
    def __init__(self, replica: Replica, costs: Costs, seconds: float, warm_up: float, seed: int) -> None:
        self.environment = simpy.Environment()
        self.replica, self.costs = replica, costs
        self.chance = random.Random(seed)
        self.warm_up, self.end = warm_up, warm_up + seconds
        self.outcome = Outcome(seconds)
        self.cores = None if replica.cores is None else simpy.Resource(self.environment, replica.cores)
        self.services = [
            _Service([simpy.Resource(self.environment, 1) for _ in range(replica.api)], devices)
            for devices in ([_Device(self) for _ in range(replica.devices)] for _ in range(replica.services))
        ]
        self.client = simpy.Resource(self.environment, 1)
        self.devices = [device for service in self.services for device in service.devices]
        self.turns = itertools.cycle(self.services)

    def run(self, moments: Moments, ask: Callable[[random.Random], Ask]) -> Outcome:
        self.environment.process(self._arrivals(moments, ask))
        for device in self.devices:
            self.environment.process(device.loop())
        self.environment.run()
        return self.outcome

    @property
    def measuring(self) -> bool:
        return self.warm_up <= self.environment.now < self.end

    def _arrivals(self, moments: Moments, ask: Callable[[random.Random], Ask]) -> Generator[Any, Any, None]:
        for moment in moments(self.chance):
            if moment >= self.end:
                break
            yield self.environment.timeout(moment - self.environment.now)
            self.environment.process(self._request(ask(self.chance)))
        for device in self.devices:
            device.close()

    def _request(self, ask: Ask) -> Generator[Any, Any, None]:
        came, counted = self.environment.now, self.measuring
        costs, service = self.costs, next(self.turns)
        api = self.chance.choice(service.api)
        if costs.client:
            yield from self._in(self.client, costs.client / 2)
        if sum(device.waiting for device in service.devices) + ask.cost > self.replica.queue:
            self.outcome.refused += counted
            return
        extra = costs.api_item * (ask.items - 1)
        yield from self._api(api, costs.api_before + extra / 2)
        done = self.environment.event()
        min(service.devices, key=lambda device: device.waiting).submit(_Waiting(ask, api, done))
        leads = yield done
        yield from self._api(api, costs.api_after + extra / 2 + leads * costs.api_tick)
        if costs.client:
            yield from self._in(self.client, costs.client / 2 + leads * costs.client_tick)
        if counted and ask.kind == "inpaint":
            self.outcome.inpaintings.append(self.environment.now - came)
        elif counted:
            self.outcome.took.append(self.environment.now - came)
            self.outcome.moments.append(came)

    def _api(self, api: simpy.Resource, seconds: float) -> Generator[Any, Any, None]:
        yield from self._in(api, seconds)
        if self.measuring:
            self.outcome.decoding += seconds

    def _in(self, process: simpy.Resource, seconds: float) -> Generator[Any, Any, None]:
        """Work in a process that does one thing at a time."""
        with process.request() as turn:
            yield turn
            yield from self.work(seconds)

    def work(self, seconds: float) -> Generator[Any, Any, None]:
        """Take a CPU for some seconds, where they are shared."""
        if self.cores is None:
            yield self.environment.timeout(seconds)
            return
        with self.cores.request() as core:
            yield core
            yield self.environment.timeout(seconds)


class _Device:
    """One device process."""

    def __init__(self, world: _World) -> None:
        self.world = world
        self.waiting = 0
        """Item-ticks."""
        self._queues: dict[str, deque[_Waiting]] = {}
        self._many_last = False
        self._closed = False
        self._news = world.environment.event()

    def submit(self, waiting: _Waiting) -> None:
        self.waiting += waiting.ask.cost
        self._queues.setdefault(waiting.ask.kind, deque()).append(waiting)
        self._wake()

    def close(self) -> None:
        """Nothing more comes: the loop ends when nothing waits."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if not self._news.triggered:
            self._news.succeed()

    def loop(self) -> Generator[Any, Any, None]:
        world = self.world
        wake = world.costs.device_wake
        while True:
            kind = self._next()
            if kind is None:
                self._news = world.environment.event()
                # Requests that are still being decoded come later: the simulation ends when no event is left.
                yield self._news
                wake = world.costs.device_wake
                continue
            batch = self._batch(kind)
            rows = sum(waiting.ask.items for waiting in batch)
            ended = [waiting for waiting in batch if waiting.left == 1]
            seconds = world.costs.tick(kind, rows) + world.costs.device * len(ended) + wake
            wake = 0.0
            yield from self._compute(seconds)
            if world.measuring:
                world.outcome.computing += seconds
                world.outcome.rows += rows
                world.outcome.ticks += 1
            self._conclude(kind, batch, rows)

    def _compute(self, seconds: float) -> Generator[Any, Any, None]:
        world = self.world
        delay = world.chance.choice(world.costs.delays) if world.costs.delays else 0.0
        yield from world.work(max(seconds + min(delay, 0.0), 0.0))
        if delay > 0:  # somebody else has the CPU
            yield world.environment.timeout(delay)

    def _next(self) -> str | None:
        """The kind whose turn it is: work of one tick and work of many alternate."""
        kinds = [kind for kind, queue in self._queues.items() if queue]
        if not kinds:
            return None
        kind = min(kinds, key=lambda kind: (kind == "inpaint") == self._many_last)
        self._many_last = kind == "inpaint"
        return kind

    def _batch(self, kind: str) -> list[_Waiting]:
        queue, room = self._queues[kind], self.world.costs.max_rows
        found: list[_Waiting] = []
        while queue and (not found or queue[0].ask.items <= room):
            room -= queue[0].ask.items
            found.append(queue.popleft())
        return found

    def _conclude(self, kind: str, batch: list[_Waiting], rows: int) -> None:
        self.waiting -= rows
        going_on = []
        told: set[simpy.Resource] = set()
        for waiting in batch:
            waiting.left -= 1
            if waiting.left:
                going_on.append(waiting)
            else:
                waiting.done.succeed(waiting.api not in told)  # whether it is the first that its api process gets
                told.add(waiting.api)
        self._queues[kind].extendleft(reversed(going_on))
