"""A long step pauses where others wait: they are answered meanwhile, and nothing of the step changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from model_store import LoadedModel, Store
from service.device import pauses, stopwatch
from service.device.loop import DeviceLoop
from service.device.programs import Inpaint, Score
from service.device.threads import Threads
from service.protocol import messages as m
from service.protocol.errors import Unexpected
from service.protocol.tenants import Tenant
from tests.service.device.loops import Wire, climb, looping, score, until
from tests.service.device.toys import BAD, FATAL, Bench

LIGHT, FLOOD = Tenant("light"), Tenant("flood")


@pytest.fixture(autouse=True)
def _at_every_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "_LOOK_EVERY", 0.0)


# With the toy model.


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    found = Bench()
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: found.now))
    return found


def test_one_tick_is_done_in_a_pause_and_then_the_step_goes_on_for_as_long(bench: Bench) -> None:
    bench.seconds = {"long": 1.0, "short": 1.5}
    long = bench.submit([1], length=3, tenant="flood")
    bench.tick()
    short = [bench.submit([number] * rows, tenant="light") for number, rows in ((3, 16), (5, 8), (7, 8))]
    bench.tick(bench.tick_in_pause)
    bench.tick(bench.tick_in_pause)
    assert bench.ticks == [("long", [1]), ("short", [3]), ("long", [2]), ("short", [5])]
    assert [each.values for each in short] == [[6] * 16, [10] * 8, None], "its second layer took less than the tick"
    bench.run()
    assert long.values == [8]


def test_nothing_pauses_for_rows_of_ones_own(bench: Bench) -> None:
    calls: list[None] = []
    for tenant in ("only", ""):
        bench.submit([1], length=4, tenant=tenant)
        for _ in range(4):
            bench.submit([3], tenant=tenant)
            bench.tick(lambda: calls.append(None))
        bench.run()
        bench.scheduler = Bench().scheduler
    assert calls == []


def test_nothing_pauses_where_others_ask_for_long_work_alone(bench: Bench) -> None:
    calls: list[None] = []
    for tenant in ("a", "b"):
        bench.submit([1] * 16, length=3, tenant=tenant)
    while bench.tick(lambda: calls.append(None)):
        pass
    assert calls == []


def test_a_tick_that_fails_in_a_pause_fails_its_own_rows_alone(bench: Bench) -> None:
    long = bench.submit([1], length=3, tenant="flood")
    bad, good = bench.submit([BAD], tenant="light"), bench.submit([3], tenant="light")
    bench.run(bench.tick_in_pause)
    assert isinstance(bad.problem, Unexpected)
    assert good.values == [6]
    assert long.values == [8]


def test_without_memory_in_a_pause_the_step_loses_nothing(bench: Bench) -> None:
    bench.memory = 8
    long = bench.submit([1] * 12, length=3, tenant="flood")
    short = bench.submit([3] * 16, tenant="light")
    bench.run(bench.tick_in_pause)
    assert short.values == [6] * 16
    assert long.values == [8] * 12
    assert bench.account.waiting == 0


def test_what_is_no_tick_and_fails_in_a_pause_is_raised_after_the_step(bench: Bench) -> None:
    long = bench.submit([1], length=3, tenant="flood")
    bench.submit([3], tenant="light").job.drop()

    def fail() -> None:
        raise ConnectionError("the socket is gone")

    with pytest.raises(ConnectionError):
        bench.tick(fail)
    assert long.problem is None
    bench.run()
    assert long.values == [8], "the step that was paused counts"


def test_a_device_that_is_lost_in_a_pause_is_lost(bench: Bench) -> None:
    bench.submit([1], length=3, tenant="flood")
    bench.submit([FATAL], tenant="light")
    with pytest.raises(torch.AcceleratorError):
        bench.run(bench.tick_in_pause)


def test_pauses_are_not_in_the_time_of_the_step(bench: Bench) -> None:
    bench.submit([1], length=3, tenant="flood")
    bench.submit([3], tenant="light").job.drop()
    bench.seconds = {"long": 2.0}

    def rest() -> None:
        bench.now += 100

    bench.tick(rest)
    assert bench.account.pace == 0.5
    assert bench.now > 100


@pytest.mark.parametrize("tenants", [("flood", "light"), ("", "")])
def test_of_several_keys_long_and_short_work_have_equal_time(bench: Bench, tenants: tuple[str, str]) -> None:
    bench.seconds = {"long": 6.0, "short": 1.0}
    bench.submit([1], length=100, tenant=tenants[0])
    for _ in range(60):
        bench.submit([3] * 16, tenant=tenants[1])
    for _ in range(28):
        bench.tick()
    counts = [sum(kind == wanted for kind, _ in bench.ticks) for wanted in ("long", "short")]
    assert counts == ([4, 24] if tenants[0] else [14, 14])


def test_a_tick_has_its_own_number_of_threads_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, found = Threads(2), []
    chosen = iter([2, 1])
    monkeypatch.setattr(threads, "_chosen", lambda _: next(chosen))
    program = SimpleNamespace(key="toy", alone=False)

    def work() -> None:
        threads.adopt()
        with threads.computing(program, 8) as watch:
            found.append(torch.get_num_threads())
            with watch.paused(), threads.computing(program, 1):
                found.append(torch.get_num_threads())
            found.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [2, 1, 2]


# With the device's loop.


class Steps:
    """Watches a loop's steps of inpaintings: ``at`` is called as each begins."""

    def __init__(self, wire: Wire) -> None:
        self.inside = False
        self.events: list[Any] = []
        self.at: Callable[[], None] = lambda: None
        send = wire.send

        def note(peer: str, messages: Any) -> None:
            self.events += messages
            send(peer, messages)

        wire.send = note  # type: ignore[method-assign]

    def within(self, kind: type[Any], holds: Callable[[Any], bool] = lambda _: True) -> bool:
        """Whether such a message was sent while a step went on."""
        inside = False
        for event in list(self.events):
            inside = event == "begin" if isinstance(event, str) else inside
            if inside and isinstance(event, kind) and holds(event):
                return True
        return False


@pytest.fixture(scope="module")
def digits(store: Path) -> LoadedModel:
    return Store(store).load("digits", 1, torch.device("cpu"))


@pytest.fixture
def running(digits: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[DeviceLoop, Wire, Steps]]:
    with looping(digits, max_steps=10**6, threads=1) as (loop, wire):
        steps, step = Steps(wire), Inpaint.step

        def watched(self: Inpaint, rows: Any) -> Any:
            steps.inside = True
            steps.events.append("begin")
            steps.at()
            try:
                return step(self, rows)
            finally:
                steps.events.append("end")
                steps.inside = False

        monkeypatch.setattr(Inpaint, "step", watched)
        yield loop, wire, steps


class Asking:
    """A client that asks for a score whenever a step begins, once it has got the answer before."""

    def __init__(self, wire: Wire, tenant: Tenant, first: int = 1000) -> None:
        self.wire, self.tenant, self.number = wire, tenant, first
        wire.say("light", score(first, tenant=tenant))

    def __call__(self) -> None:
        answered = (each.ids for to, each in list(self.wire.sent) if isinstance(each, m.Results))
        if any(self.number in ids for ids in answered):
            self.number += 1
            self.wire.say("light", score(self.number, tenant=self.tenant))


def test_a_request_of_another_key_is_answered_while_a_step_goes_on(running: tuple[DeviceLoop, Wire, Steps]) -> None:
    _, wire, steps = running
    steps.at = Asking(wire, LIGHT)
    wire.say("flood", climb(1, n=64, tenant=FLOOD))
    until(lambda: steps.within(m.Results))


def test_requests_of_the_same_key_wait_for_the_step(running: tuple[DeviceLoop, Wire, Steps]) -> None:
    _, wire, steps = running
    asking = steps.at = Asking(wire, FLOOD)
    wire.say("flood", climb(1, steps=5000, n=8, tenant=FLOOD))
    until(lambda: asking.number >= 1010)
    assert not steps.within(m.Results)


def test_an_inpainting_that_was_paused_has_the_bits_of_one_that_was_not(
    running: tuple[DeviceLoop, Wire, Steps],
) -> None:
    _, wire, steps = running
    answers = []
    for number in (1, 2):
        wire.say("flood", climb(number, steps=60, n=5, seed=7, tenant=FLOOD))
        answers.append(wire.heard("flood", m.Completed, lambda done, number=number: done.id == number).arrays)  # type: ignore[misc]
        assert steps.within(m.Results) is (number == 2)
        steps.at = Asking(wire, LIGHT)
    assert answers[0].keys() == answers[1].keys()
    for name, array in answers[0].items():
        assert np.array_equal(array, answers[1][name], equal_nan=True), name


def test_a_request_that_fails_in_a_pause_fails_alone(
    running: tuple[DeviceLoop, Wire, Steps], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, wire, steps = running
    compute = Score.compute

    def fragile(self: Score, columns: Any) -> Any:
        if steps.inside and (columns["seed"] == 13).any():
            raise ArithmeticError("in a pause")
        return compute(self, columns)

    monkeypatch.setattr(Score, "compute", fragile)
    numbers = iter(range(10, 10**6))
    asking = Asking(wire, LIGHT)

    def ask() -> None:
        asking()
        wire.say("other", score(next(numbers), seed=13, tenant=LIGHT))

    steps.at = ask
    wire.say("flood", climb(1, n=8, tenant=FLOOD))
    until(lambda: steps.within(m.Failed))
    assert wire.heard("other", m.Failed).kind == "unexpected"
    steps.at = lambda: None
    assert not [each for to, each in wire.sent if to in ("light", "flood") and isinstance(each, m.Failed)]
    began = steps.events.count("begin")
    until(lambda: steps.events.count("begin") > began)


def test_messages_are_taken_in_their_order_in_a_pause(running: tuple[DeviceLoop, Wire, Steps]) -> None:
    loop, wire, steps = running
    asking, numbers = Asking(wire, LIGHT), iter(range(10, 10**6))

    def ask() -> None:
        asking()
        number = next(numbers)
        wire.say("other", climb(number, steps=10, tenant=LIGHT))
        wire.say("other", m.Cancel(number))
        wire.say("other", m.Ping(number))

    steps.at = ask
    wire.say("flood", climb(1, n=8, tenant=FLOOD))
    until(lambda: steps.within(m.Told))
    steps.at = lambda: wire.say("flood", m.Cancel(1))
    until(lambda: loop.account.waiting == 0)
    assert loop.account.jobs == 0
    assert not [each for to, each in wire.sent if to != "light" and isinstance(each, m.Failed | m.Completed)]
    wire.say("light", score(5, tenant=LIGHT))
    wire.heard("light", m.Results, lambda results: 5 in results.ids)


def test_a_service_that_stops_in_a_step_ends_after_it(running: tuple[DeviceLoop, Wire, Steps]) -> None:
    loop, wire, steps = running
    asking = steps.at = Asking(wire, LIGHT)
    wire.say("flood", climb(1, n=64, tenant=FLOOD))
    until(lambda: asking.number > 1003)
    steps.at = loop.stop
    assert wire.heard("flood", m.Failed).kind == "unavailable"
