"""A toy model for tests of the scheduler: its programs double numbers, and the test decides when a tick happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from service.device.account import Account
from service.device.columns import Columns
from service.device.device_metrics import DeviceMetrics
from service.device.jobs import Job, Observer
from service.device.program import OneTick, Program
from service.device.runner import Runner
from service.device.scheduler import Scheduler
from service.device.stopwatch import Stopwatch
from service.device.ticks import Wave
from service.protocol.errors import Problem

BAD, FATAL = 666, 667
"""Values whose tick raises: an error of the row, the loss of the device."""
MODEL: Any = SimpleNamespace(reference="toy@1")


@dataclass
class Bench:
    """A scheduler, what its device has seen, and what the owners of its jobs were told."""

    max_rows: int = 16
    memory: int = 10_000
    shortage: Exception = field(default_factory=lambda: torch.OutOfMemoryError("too many rows"))
    """What the device raises where memory does not suffice."""
    ticks: list[tuple[str, list[int]]] = field(default_factory=list)
    """Of each tick the kind of its program and the different values of its rows."""
    account: Account = field(default_factory=Account)
    layers: nn.Module = field(default_factory=lambda: nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)))
    """What a step of long work passes through: between and after these it may pause."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """How far the tests' clock goes on in a tick of each kind."""
    now: float = 0.0
    """The tests' clock."""
    metrics: DeviceMetrics = field(default_factory=DeviceMetrics)

    def __post_init__(self) -> None:
        here: Any = SimpleNamespace(computing=lambda program, rows: nullcontext(Stopwatch()))
        self.scheduler = Scheduler(
            self.account, self.max_rows, self.metrics, here, Runner(torch.device("cpu"), self.max_rows)
        )

    def submit(
        self,
        values: list[int],
        length: int = 1,
        seconds: float = 60,
        model: Any = MODEL,
        observer: Observer | None = None,
        tenant: str = "",
        costs: list[int] | None = None,
    ) -> Request:
        """Rows of these values that need ``length`` ticks, of an API key. A tick of a row costs one, or as told."""
        columns = Columns({"value": torch.tensor(values), "length": torch.full((len(values),), length)})
        if costs is not None:
            columns.tensors = {**columns.tensors, "cost": torch.tensor(costs)}
        program = Short(model, self) if length == 1 else Long(model, self)
        request = Request()
        holding = self.account.open(length * (len(values) if costs is None else sum(costs)))
        deadline = time.monotonic() + seconds
        request.job = Job(program, columns, holding, deadline, request, observer=observer, tenant=tenant)
        self.scheduler.submit(request.job)
        return request

    def tick(self, between: Callable[[], None] | None = None) -> bool:
        """One tick, with pauses where ``between`` is given; whether there was anything to do."""
        before = len(self.ticks)
        self.conclude(self.scheduler.tick(between))
        return len(self.ticks) > before

    def tick_in_pause(self) -> None:
        """What the device's loop does in a pause."""
        self.conclude(self.scheduler.tick_in_pause())

    def conclude(self, waves: list[Wave]) -> None:
        """Answer the jobs that have ended."""
        for wave in waves:
            start = 0
            for job in wave.jobs:
                stop = start + len(job)
                if job.close():
                    request: Any = job.owner
                    request.values = wave.columns["value"][start:stop].tolist()
                start = stop

    def run(self, between: Callable[[], None] | None = None) -> None:
        """Ticks until nothing waits, as in ``tick``."""
        while self.scheduler:
            self.tick(between)

    def enter(self, kind: str, values: Tensor) -> None:
        """The device takes a batch."""
        self.ticks.append((kind, sorted(set(values.tolist()))))
        self.now += self.seconds.get(kind, 0.0)
        if len(values) > self.memory:
            raise self.shortage
        if (values == BAD).any():
            raise ArithmeticError("a bad row")
        if (values == FATAL).any():
            raise torch.AcceleratorError("the device is lost")


class Request:
    """The owner of a job: its answer, or the problem that ended it."""

    peer: str | None = None
    number = 0
    job: Job

    def __init__(self) -> None:
        self.values: list[int] | None = None
        self.problem: Problem | None = None

    def failed(self, problem: Problem) -> None:
        assert self.problem is None
        assert self.values is None
        self.problem = problem

    def completed(self) -> None:
        """Not called: ``Bench.tick`` takes the rows itself."""


def costs_of(columns: Columns) -> list[int] | None:
    """What the test says that a tick of each row costs."""
    return columns["cost"].tolist() if "cost" in columns.tensors else None


@dataclass(frozen=True)
class Short(OneTick):
    """Doubles its rows' values in one tick."""

    bench: Bench
    kind = "short"

    def row_costs(self, columns: Columns) -> list[int] | None:
        return costs_of(columns)

    @property
    def rows_multiple(self) -> int:
        return 8

    @property
    def alone(self) -> bool:
        return False

    def compute(self, columns: Columns) -> Columns:
        self.bench.enter(self.kind, columns["value"])
        return Columns({"value": columns["value"] * 2})


@dataclass(frozen=True)
class Long(Program):
    """Doubles its rows' values once a tick, as many times as their ``length`` says."""

    bench: Bench
    kind = "long"
    iterative = True

    def row_costs(self, columns: Columns) -> list[int] | None:
        return costs_of(columns)

    @property
    def rows_multiple(self) -> int:
        return 8

    @property
    def alone(self) -> bool:
        return False

    @property
    def key(self) -> Hashable:
        return self.kind, self.model.reference

    @property
    def flow(self) -> Any:
        return self.bench.layers

    def start(self, columns: Columns) -> Columns:
        return Columns({"value": columns["value"], "left": columns["length"]})

    def step(self, rows: Columns) -> Columns:
        self.bench.enter(self.kind, rows["value"])
        self.bench.layers(torch.zeros(1, 1))
        return Columns({"value": rows["value"] * 2, "left": rows["left"] - 1})

    def done(self, rows: Columns) -> Tensor:
        return rows["left"] == 0

    def view(self, rows: Columns) -> Columns:
        return Columns({"value": rows["value"]})

    def result(self, rows: Columns) -> Columns:
        return Columns({"value": rows["value"]})
