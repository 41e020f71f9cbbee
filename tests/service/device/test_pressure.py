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


def test_only_long_ticks_take_more_than_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    monkeypatch.setattr(Pressure, "threads", lambda _: 2)
    assert Threads(None)._chosen(work=0.001) == 1
    assert Threads(None)._chosen(work=0.1) == 2
    assert Threads(1)._chosen(work=0.1) == 1
