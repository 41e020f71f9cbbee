"""How many threads fit beside the other work on the machine."""

from __future__ import annotations

import time

import pytest

from service.device import threads
from service.device.threads import Pressure, Threads


class Machine:
    """Two CPUs whose idle time, and the waiting of our threads, the test sets; its clock goes when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.idle, self.waited = 1000.0, 0.0, 0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(threads._Account, "read", lambda _: threads._Account(self.idle, {"1": self.waited}))

    def run(self, seconds: float, idle: float, waiting: float = 0.0) -> None:
        """Let time pass in which this number of CPUs idled, and this number of our threads waited for one."""
        self.now += seconds
        self.idle += idle * seconds
        self.waited += int(waiting * seconds * 1e9)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_an_idle_cpu_is_taken_and_a_busy_one_is_not(machine: Machine) -> None:
    pressure = Pressure(2)
    assert pressure.threads() == 1, "until something is known"
    machine.run(0.2, idle=0.3)
    assert pressure.threads() == 1
    machine.run(0.2, idle=1.0)
    assert pressure.threads() == 2
    machine.run(5, idle=0.0)  # both CPUs are ours
    assert pressure.threads() == 2


def test_threads_that_wait_for_a_cpu_become_one_and_try_again_later_each_time(machine: Machine) -> None:
    pressure = Pressure(2)
    pauses = []
    for _ in range(4):
        while pressure.threads() == 1:
            machine.run(0.15, idle=1.0)
        machine.run(0.15, idle=0.0, waiting=1.0)
        assert pressure.threads() == 1
        began = machine.now
        while pressure.threads() == 1:
            machine.run(0.15, idle=1.0)
        pauses.append(machine.now - began)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4 * pauses[0] / 2


def test_on_a_large_machine_only_the_idle_cpus_are_taken(machine: Machine) -> None:
    pressure = Pressure(16)
    machine.run(0.2, idle=7.0)
    assert pressure.threads() == 8
    machine.run(0.2, idle=20.0)
    assert pressure.threads() == 16


def test_where_the_accounts_cannot_be_read_all_cpus_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads._Account, "read", lambda _: None)
    assert Pressure(4).threads() == 4


class Program:
    """A kind of tick."""

    key, alone = "score", False


class Pool:
    """Remembers how many threads it was told to have."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def set(self, number: int) -> None:
        self.told.append(number)


def threads_of_ticks(machine: Machine, chosen: Threads, seconds: float, count: int) -> list[int]:
    """In how many threads each of so many ticks runs, which take so long in one thread and twice that in two."""
    pool = Pool()
    chosen._pool = pool  # type: ignore[assignment]
    for _ in range(count):
        chosen._now = 0
        with chosen.computing(Program, 256):
            machine.now += seconds * pool.told[-1]
    return pool.told


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Threads:
    """Threads of a machine with two CPUs, both idle."""
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    monkeypatch.setattr(Pressure, "threads", lambda _: 2)
    monkeypatch.setattr(time, "perf_counter", lambda: machine.now)
    return Threads(None)


def test_only_long_ticks_take_more_than_one_thread(machine: Machine, two: Threads) -> None:
    assert threads_of_ticks(machine, two, 0.001, 5) == [1] * 5
    assert threads_of_ticks(machine, Threads(None), 0.1, 5) == [1, 2, 2, 2, 2]
    assert threads_of_ticks(machine, Threads(1), 0.1, 5) == [1] * 5


def test_a_short_tick_that_threads_make_long_goes_back_to_one(machine: Machine, two: Threads) -> None:
    """The first tick of a kind is slow; then two threads that wait for each other take what one would not."""
    assert threads_of_ticks(machine, two, 0.05, 1) == [1]
    found = threads_of_ticks(machine, two, 0.008, 200)
    assert found[0] == 2, "it is thought to be long"
    assert set(found[110:]) == {1}
    assert 2 in threads_of_ticks(machine, two, 0.05, 20), "and one that has become long is found"
