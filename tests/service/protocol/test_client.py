"""The client of a device, over a transport in the test's hands: what it asks, what it admits, what it streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.protocol import messages as m
from service.protocol.client import Stream
from service.protocol.errors import QueueFull, TooLarge, Unavailable, WrongValue
from service.protocol.queue import Backlog, Queue
from tests.service.protocol.samples import MODELS, Client, score


@pytest.fixture
async def client() -> Client:
    client = Client()
    await client.start()
    return client


pytestmark = pytest.mark.anyio


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_answers_of_one_tick_go_to_those_who_asked(client: Client) -> None:
    asking = [asyncio.create_task(client.ask(lambda number, count=count: score(number, count))) for count in (2, 1, 3)]  # type: ignore[misc]
    await turn()
    assert [type(message) for message in client.sent] == [m.Submit] * 3
    value = np.arange(6.0)
    client.hear(m.Results([1, 2, 3], [2, 1, 3], {"value": value}, {"group": np.array([0.1, 0.2, 0.3])}))
    answers = await asyncio.gather(*asking)
    assert [answer.arrays["value"].tolist() for answer in answers] == [[0, 1], [2], [3, 4, 5]]
    assert [answer.each["group"].tolist() for answer in answers] == [[0.1], [0.2], [0.3]]


async def test_what_one_pass_of_the_loop_asks_travels_together() -> None:
    parcels: list[int] = []

    class Counting(Client):
        def _send(self, messages: list[m.Up]) -> None:
            parcels.append(len(messages))

    client = Counting()
    await client.start()
    tasks = [asyncio.create_task(client.ask(m.Ping)) for _ in range(5)]
    await turn()
    client.hear(*(m.Told(number, b"") for number in range(1, 6)))
    await asyncio.gather(*tasks)
    assert parcels == [5]


async def test_who_stops_waiting_tells_the_device_once(client: Client) -> None:
    task = asyncio.create_task(client.ask(score))
    await turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turn()
    assert client.sent[1:] == [m.Cancel(1)]
    client.hear(m.Results([1], [2], {"value": np.zeros(2)}, {}), m.Failed(1, "unexpected", ""), m.Told(1, b""))
    await turn()
    assert client.sent[1:] == [m.Cancel(1)], "an answer that crosses the cancel is dropped"


async def test_a_failure_is_raised_with_its_kind(client: Client) -> None:
    task = asyncio.create_task(client.ask(score))
    await turn()
    client.hear(m.Failed(1, "wrong_value", "too odd", "items[1]"))
    with pytest.raises(WrongValue) as refusal:
        await task
    assert (refusal.value.detail, refusal.value.field) == ("too odd", "items[1]")


async def test_a_device_that_dies_fails_everything_that_waits_and_a_successor_is_found(client: Client) -> None:
    waiting = [asyncio.create_task(client.ask(score)) for _ in range(3)]
    stream = client.stream(score)
    await turn()
    assert client.queue.waiting == 8
    client.lose()
    for task in waiting:
        with pytest.raises(Unavailable) as refusal:
            await task
        assert refusal.value.retry_after
    with pytest.raises(Unavailable):
        await stream.result()
    assert (client.alive, client.lost, client.queue.waiting) == (False, True, 0)
    with pytest.raises(Unavailable):
        await client.ask(score)
    assert client.catalogue.models == ()
    changed = asyncio.create_task(client.until(lambda client: client.alive))
    await turn()
    client.hear(MODELS)
    await changed
    assert (client.alive, client.lost) == (True, False)
    task = asyncio.create_task(client.ask(m.Ping))
    await turn()
    (ping,) = [message for message in client.sent if isinstance(message, m.Ping)]
    client.hear(m.Told(ping.id, b"there"))
    assert (await task).data == b"there"


# The queue.


def test_room_is_reserved_resized_and_given_back() -> None:
    queue = Queue(100, [])
    with queue.reserve() as room:
        assert queue.waiting == 1
        room.resize(60)
        with queue.reserve() as other:
            other.resize(40)
            assert queue.waiting == 100
            with pytest.raises(QueueFull):
                queue.reserve()
            with pytest.raises(QueueFull):
                room.resize(61)
            assert queue.waiting == 100, "who was refused more keeps what it had"
            room.resize(10)
            assert queue.waiting == 50
        room.release()
        assert queue.waiting == 0
    assert queue.waiting == 0


def test_what_no_empty_queue_would_hold_is_too_large() -> None:
    queue = Queue(100, [])
    with queue.reserve() as room:
        with pytest.raises(TooLarge):
            room.resize(101)
        room.resize(100)


def test_a_full_queue_tells_when_to_come_back() -> None:
    backlog = Backlog()
    queue = Queue(100, [backlog])
    backlog.sent(1, 90)

    def told() -> int | None:
        with queue.reserve() as room, pytest.raises(QueueFull) as refusal:
            room.resize(20)
        return refusal.value.retry_after

    assert told() == 1, "nothing was measured yet"
    backlog.report(m.Report(90, 10.0, 1))
    assert told() == 10, "91 item-ticks at 10 a second"
    backlog.report(m.Report(90, 0.001, 1))
    assert told() == 91, "never an endless time"
    backlog.report(m.Report(90, 1e12, 1))
    assert told() == 1


def test_a_report_replaces_what_the_device_has_seen_and_nothing_else() -> None:
    backlog = Backlog()
    for number, cost in ((1, 10), (2, 20), (5, 50)):
        backlog.sent(number, cost)
    assert backlog.waiting == 80
    backlog.report(m.Report(25, 1.0, 2))
    assert backlog.waiting == 75, "25 of those that it saw, 50 on their way"
    backlog.report(m.Report(0, 1.0, 2))
    assert backlog.waiting == 50
    backlog.report(m.Report(40, 1.0, 7))
    assert backlog.waiting == 40
    backlog.reset()
    assert backlog.waiting == 0


# Streams.


def snapshot(step: int) -> m.Snapshot:
    return m.Snapshot(1, step, 0.0, None)


async def test_a_slow_reader_gets_the_latest_and_then_the_end() -> None:
    stream = Stream(lambda: None)
    stream.show(snapshot(1))
    seen = []
    async for news in stream.snapshots(10):
        assert news is not None
        seen.append(news.step)
        if news.step == 1:
            for step in range(2, 9):
                stream.show(snapshot(step))
        elif news.step == 8:
            stream.end("the result", None)
    assert seen == [1, 8]
    assert await stream.result() == "the result"
    assert not stream.close()


async def test_the_last_snapshot_comes_before_the_end() -> None:
    stream = Stream(lambda: None)
    stream.show(snapshot(1))
    stream.end("the result", None)
    assert [news.step async for news in stream.snapshots(10) if news] == [1]


async def test_a_reader_that_hears_nothing_is_told_so() -> None:
    stream = Stream(lambda: None)
    news = stream.snapshots(0.01)
    assert await anext(news) is None
    assert await anext(news) is None
    stream.show(snapshot(3))
    found = await anext(news)
    assert found is not None
    assert found.step == 3


async def test_a_problem_ends_a_stream_and_is_raised_by_its_result() -> None:
    stream = Stream(lambda: None)
    stream.end(None, WrongValue("odd"))
    stream.end("too late", None)
    assert [news async for news in stream.snapshots(10)] == []
    with pytest.raises(WrongValue):
        await stream.result()


async def test_closing_drops_the_work_once(client: Client) -> None:
    stream = client.stream(score)
    await turn()
    assert stream.close()
    await turn()
    assert client.sent[1:] == [m.Cancel(1)]
    client.hear(snapshot(1), m.Told(1, b""))
    ended = client.stream(score)
    client.hear(m.Snapshot(2, 5, 1.0, None), m.Told(2, b"end"))
    assert not ended.close()
    assert (await ended.result()).data == b"end"
    await turn()
    assert [message for message in client.sent if isinstance(message, m.Cancel)] == [m.Cancel(1)]


@pytest.mark.parametrize("message", [snapshot(1), m.Told(9, b""), m.Failed(9, "unexpected", ""), m.Report(0, None, 0)])
async def test_messages_that_nobody_waits_for_are_ignored(client: Client, message: m.Down) -> None:
    client.hear(message)
    tell: Callable[[m.Up], Any] = client.tell
    tell(m.Gone("nobody"))
    await turn()
    assert client.sent == [m.Gone("nobody")]
