"""Several devices as one: where a request goes, where a task is found, what reaches all devices and what adds up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from service.device.claims import Claims
from service.protocol import fleet as fleet_module
from service.protocol import messages as m
from service.protocol.errors import Conflict, Problem, QueueFull, Unavailable, Unknown, WrongValue
from service.protocol.fleet import Fleet
from tests.service.protocol.samples import MODELS, Client, model_info, score

pytestmark = pytest.mark.anyio

ONE = m.TaskState("one", "running", "digits@1", 1, "ascent", 1, 10, 0, None)
ANSWERED: tuple[type[Any], ...] = (
    m.Submit,
    m.Follow,
    m.Claim,
    m.StopTask,
    m.Load,
    m.Unload,
    m.Read,
    m.Stats,
    m.Drift,
    m.Ping,
)


class Answering(Client):
    """Answers what is about tasks and models as a device does, and keeps the rest waiting."""

    def __init__(self, name: str, models: m.Models = MODELS) -> None:
        super().__init__(1000, name, models)
        self.tasks: dict[str, str] = {}
        self.claims = Claims()
        self.loads: Problem | None = None
        self.unloads: Problem | None = None
        self.silent = False

    def _send(self, messages: list[m.Up]) -> None:
        super()._send(messages)
        for message in messages:
            if isinstance(message, ANSWERED) and not self.silent:
                asyncio.get_running_loop().call_soon(self._answer, message)

    def _answer(self, message: m.Request) -> None:
        match message:
            case m.Submit(task=m.TaskKey() as key):
                if self.tasks.setdefault(key.id, key.fingerprint) == key.fingerprint:
                    self.hear(m.TaskIs(message.id, ONE, model_info()))
                else:
                    self._refuse(message, Conflict("another inpainting has this id", "id"))
            case m.Follow(want="events"):
                pass
            case m.Follow() | m.StopTask():
                if message.task in self.tasks:
                    self.hear(m.TaskIs(message.id, ONE, model_info()))
                else:
                    self._refuse(message, Unknown("no such inpainting", "id"))
            case m.Claim():
                self.hear(m.Told(message.id, self.claims.settle(message.task, message.device).encode()))
            case m.Load():
                self._end(message, self.loads)
            case m.Unload():
                self._end(message, self.unloads)
            case m.Drift():
                self.hear(m.Told(message.id, f'[{{"device":"{self.name}"}}]'.encode()))
            case m.Stats():
                text = f"# HELP a A\n# TYPE a gauge\na {len(self.name)}.0\n"
                self.hear(m.Told(message.id, text.encode()))
            case _:
                pass

    def _end(self, message: m.Request, problem: Problem | None) -> None:
        if problem is None:
            self.hear(m.Told(message.id, b"digits@2"))
        else:
            self._refuse(message, problem)

    def _refuse(self, message: m.Request, problem: Problem) -> None:
        self.hear(m.Failed(message.id, problem.kind, problem.detail, problem.field))

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


async def fleet_of(*clients: Client, bound: int = 1000) -> Fleet:
    fleet = Fleet(bound, clients)
    await fleet.start()
    return fleet


@pytest.fixture
async def pair() -> tuple[Answering, Answering]:
    return Answering("a"), Answering("b")


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def sent(fleet: Fleet) -> list[int]:
    """How many requests for work each device was sent."""
    return [sum(isinstance(message, m.Submit) for message in client.sent) for client in fleet.clients]  # type: ignore[attr-defined]


def ask(fleet: Fleet, make: Callable[[int], m.Request]) -> asyncio.Task[Any]:
    return asyncio.create_task(fleet.ask(make))


def task(name: str, fingerprint: str = "same", model: str = "digits@1") -> Callable[[int], m.Submit]:
    return lambda number: m.Submit(number, model, "inpaint", 0.0, task=m.TaskKey(name, fingerprint))


async def test_a_request_goes_to_the_device_where_the_fewest_item_ticks_wait(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    ask(fleet, lambda number: score(number, 10))
    await turn()
    assert sent(fleet) == [1, 0]
    for _ in range(3):  # 9 item-ticks, still fewer than 10
        ask(fleet, lambda number: score(number, 3))
    await turn()
    assert sent(fleet) == [1, 3]
    pair[1].hear(m.Report(500, 1.0, 10**6))
    ask(fleet, lambda number: score(number, 1))
    await turn()
    assert sent(fleet) == [2, 3], "what other api processes sent to a device counts too"
    pair[1].hear(m.Report(0, 1.0, 10**6))
    ask(fleet, lambda number: score(number, 1))
    await turn()
    assert sent(fleet) == [2, 4]


async def test_idle_devices_take_turns() -> None:
    fleet = await fleet_of(*(Answering(name) for name in "abc"))
    for _ in range(6):
        asked = ask(fleet, lambda number: score(number, 1))
        await turn()
        for client in fleet.clients:
            (waiting,) = [[*client.backlog._sent]]
            if waiting:
                client.hear(m.Report(0, 1.0, waiting[-1][0]), m.Failed(waiting[-1][0], "wrong_value", ""))  # type: ignore[attr-defined]
        with pytest.raises(WrongValue):
            await asked
    assert sent(fleet) == [2, 2, 2]


async def test_a_request_waits_for_devices_that_have_never_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """An api process may be asked before it has met the device, when another already says that the service is ready."""
    monkeypatch.setattr(fleet_module, "_FIRST_ANSWER", 5.0)
    client = Answering("a")
    fleet = Fleet(1000, [client])
    early = ask(fleet, lambda number: m.Load(number, "digits"))
    await turn()
    assert not early.done()
    await client.start()
    assert (await early).data == b"digits@2"
    client.lose()  # one that has answered and is gone is not waited for
    with pytest.raises(Unavailable, match="stopped"):
        await ask(fleet, lambda number: m.Load(number, "digits"))


async def test_a_device_that_never_answers_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "_FIRST_ANSWER", 0.02)
    with pytest.raises(Unavailable):
        await ask(Fleet(1000, [Answering("a"), Answering("b")]), lambda number: m.Load(number, "digits"))


async def test_a_request_goes_only_to_a_device_that_serves_its_model() -> None:
    loaded, loading = Answering("a"), Answering("b", m.Models((), (), ("digits",), "digits", True))
    fleet = await fleet_of(loaded, loading)
    for _ in range(4):
        ask(fleet, score)
    await turn()
    assert sent(fleet) == [4, 0]


async def test_admission_counts_the_work_of_all_devices(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair, bound=100)
    pair[0].hear(m.Report(50, 10.0, 0))
    pair[1].hear(m.Report(30, 5.0, 0))
    assert fleet.queue.waiting == 80
    with fleet.queue.reserve() as room:
        room.resize(20)
        with pytest.raises(QueueFull) as refusal:
            fleet.queue.reserve()
    assert refusal.value.retry_after == 7, "100 item-ticks at 15 a second"
    pair[1].lose()
    assert fleet.queue.waiting == 50, "what a dead device held is gone"


async def test_a_device_that_dies_costs_what_it_held(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    asked = [ask(fleet, score) for _ in range(4)]
    await turn()
    pair[0].lose()
    await turn()
    failed = [each for each in asked if each.done()]
    assert len(failed) == 2
    for each in failed:
        with pytest.raises(Unavailable):
            await each
    assert (fleet.alive, fleet.lost, fleet.up) == (True, False, {"a": False, "b": True})
    assert fleet.catalogue.serves("digits@1")
    asked = [each for each in asked if not each.done()] + [ask(fleet, score)]
    await turn()
    assert sent(fleet) == [2, 3]
    pair[1].lose()
    for each in asked:
        with pytest.raises(Unavailable):
            await each
    assert (fleet.alive, fleet.lost, fleet.failed) == (False, True, False)
    assert fleet.catalogue.models == ()
    with pytest.raises(Unavailable):
        await fleet.ask(score)
    pair[0].hear(MODELS)
    assert (fleet.alive, fleet.lost) == (True, False)
    for client in pair:
        client.give_up()
    assert fleet.failed


async def test_a_task_is_found_where_it_is_by_a_fleet_that_did_not_begin_it(pair: tuple[Answering, Answering]) -> None:
    await fleet_of(*pair)
    pair[1].tasks["one"] = "same"
    fleet = await fleet_of(*pair)
    for _ in range(2):
        found: m.TaskIs = await fleet.ask(lambda number: m.Follow(number, "one", "state"))
        assert found.about == ONE
    assert [len(client.of(m.Follow)) for client in pair] == [1, 2], "the second time only its device is asked"
    stream = fleet.stream(lambda number: m.Follow(number, "one", "events"))
    await fleet.ask(lambda number: m.StopTask(number, "one"))
    assert [len(client.of(m.StopTask)) for client in pair] == [0, 1]
    pair[1].lose()
    with pytest.raises(Unavailable):
        await stream.result()
    with pytest.raises(Unavailable):
        await fleet.ask(lambda number: m.Follow(number, "one", "state"))
    pair[1].tasks.clear()
    pair[1].hear(MODELS)
    with pytest.raises(Unknown):
        await fleet.ask(lambda number: m.Follow(number, "one", "state"))
    with pytest.raises(Unknown):
        fleet.stream(lambda number: m.Follow(number, "one", "events"))


async def test_the_same_task_is_begun_once_whichever_fleets_are_asked() -> None:
    for name in map(str, range(20)):
        devices = [Answering(each) for each in "abc"]
        # Every api process has clients of its own; here they share what the devices know of tasks.
        fleets = []
        for _ in range(3):
            clients = [Answering(each.name) for each in devices]
            for client, device in zip(clients, devices, strict=True):
                client.tasks, client.claims = device.tasks, device.claims
            fleets.append(await fleet_of(*clients))
        for busy, fleet in enumerate(fleets):  # each would choose another device
            for index in {0, 1, 2} - {busy}:
                fleet.clients[index].backlog.sent(1, 500)
        await asyncio.gather(*(fleet.ask(task(name)) for fleet in fleets for _ in range(2)))
        assert sorted(len(device.tasks) for device in devices) == [0, 0, 1]
        with pytest.raises(Conflict):
            await fleets[2].ask(task(name, "other"))


async def test_a_task_goes_to_the_device_with_the_least_work(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    pair[0].hear(m.Report(50, 1.0, 0))
    for number in range(8):
        await fleet.ask(task(f"task-{number}"))
        pair[1].hear(m.Report(0, 1.0, 10**6))
    assert [len(device.tasks) for device in pair] == [0, 8]
    assert all(client.of(m.Claim) for client in pair), "the claims are divided"


async def test_a_task_whose_id_the_service_drew_goes_to_the_least_loaded(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    pair[0].hear(m.Report(50, 1.0, 0))
    for number in range(5):
        await fleet.ask(task(f"drawn-{number}", fingerprint=""))
        pair[1].hear(m.Report(0, 1.0, 10**6))
    assert sent(fleet) == [0, 5]
    assert not pair[0].of(m.Follow), "nobody looks for an id that cannot have come before"


async def test_numbers_reach_each_device_in_their_order(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    asked = [ask(fleet, task(f"task-{number}") if number % 3 else score) for number in range(12)]
    await turn()
    await asyncio.gather(*(each for number, each in enumerate(asked) if number % 3))
    for client in pair:
        numbers = [message.id for message in client.of(m.Submit)]
        assert numbers == sorted(numbers)


async def test_a_load_is_answered_when_every_device_has_loaded(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    pair[1].silent = True
    asked = ask(fleet, lambda number: m.Load(number, "digits"))
    await turn()
    assert not asked.done()
    (load,) = pair[1].of(m.Load)
    pair[1].hear(m.Told(load.id, b"digits@2"))
    assert (await asked).data == b"digits@2"


async def test_a_load_that_fails_says_on_which_device(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    pair[1].loads = WrongValue("digits@2 is refused: out of memory", "name")
    with pytest.raises(WrongValue) as refusal:
        await fleet.ask(lambda number: m.Load(number, "digits"))
    assert refusal.value.detail == "b: digits@2 is refused: out of memory (done on: a)"
    assert refusal.value.field == "name"
    pair[0].loads = pair[1].loads
    with pytest.raises(WrongValue) as refusal:
        await fleet.ask(lambda number: m.Load(number, "digits"))
    assert refusal.value.detail == "digits@2 is refused: out of memory", "as one device tells it"
    pair[0].loads = pair[1].loads = None
    pair[1].lose()
    with pytest.raises(Unavailable, match=r"b: the device process has stopped .* \(done on: a\)"):
        await fleet.ask(lambda number: m.Load(number, "digits"))


async def test_to_unload_what_only_some_devices_serve_is_no_failure(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    pair[0].unloads = Unknown("no such model is loaded", "name")
    await fleet.ask(lambda number: m.Unload(number, "digits"))
    assert [len(client.of(m.Unload)) for client in pair] == [1, 1]
    pair[1].unloads = pair[0].unloads
    with pytest.raises(Unknown) as refusal:
        await fleet.ask(lambda number: m.Unload(number, "digits"))
    assert refusal.value.detail == "no such model is loaded"


async def test_metrics_bear_the_names_of_their_devices() -> None:
    fleet = await fleet_of(Answering("a"), Answering("bb"))
    told: m.Told = await fleet.ask(m.Stats)
    assert told.data.decode() == '# HELP a A\n# TYPE a gauge\na{device="a"} 1.0\na{device="bb"} 2.0\n'


async def test_what_each_device_says_of_drift_stands_in_one_list() -> None:
    fleet = await fleet_of(Answering("a"), Answering("b"))
    told: m.Told = await fleet.ask(lambda number: m.Drift(number, "digits@1"))
    assert told.data == b'[{"device":"a"},{"device":"b"}]'


async def test_a_device_that_does_not_answer_costs_only_its_own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.protocol.fleet._STATS_PATIENCE", 0.05)
    hangs = Answering("a")
    hangs.silent = True
    fleet = await fleet_of(hangs, Answering("bb"))
    told: m.Told = await fleet.ask(m.Stats)
    assert told.data.decode() == '# HELP a A\n# TYPE a gauge\na{device="bb"} 2.0\n'


async def test_of_one_device_everything_is_as_without_a_fleet() -> None:
    only = Answering("cpu")
    fleet = await fleet_of(only)
    told: m.Told = await fleet.ask(m.Stats)
    assert b"device=" not in told.data
    await fleet.ask(task("mine"))
    assert not only.of(m.Follow)
    stream = fleet.stream(lambda number: m.Follow(number, "mine", "events"))
    only.lose()
    with pytest.raises(Unavailable):
        await stream.result()


async def test_who_stops_waiting_tells_the_device_that_was_asked(pair: tuple[Answering, Answering]) -> None:
    fleet = await fleet_of(*pair)
    asked = [ask(fleet, score) for _ in range(4)]
    await turn()
    asked[0].cancel()
    await turn()
    cancels = Counter({client.name: len(client.of(m.Cancel)) for client in pair})
    assert cancels == {"a": 1, "b": 0}
