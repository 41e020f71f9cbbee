"""The parcels that the device sends: one for each api process and turn, with a report on the queue."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from service.device.account import Account
from service.device.replies import Outbox, Reply
from service.protocol import messages as m
from service.protocol.errors import QueueFull
from service.protocol.port import Port


class Sent(Port):
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.parcels: list[tuple[str, Sequence[m.Down]]] = []

    def receive(self, wait: float) -> Sequence[tuple[str, m.Up]]:
        return []

    def send(self, peer: str, messages: Sequence[m.Down]) -> None:
        self.parcels.append((peer, messages))

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Finished:
    """A job of some rows whose request is a number of a peer."""

    def __init__(self, peer: str | None, number: int, rows: int, over: bool = False) -> None:
        self.owner = SimpleNamespace(peer=peer, number=number)
        self.rows, self.over = rows, over

    def __len__(self) -> int:
        return self.rows


def outbox() -> tuple[Outbox, Sent]:
    sent = Sent()
    return Outbox(Account()), sent


def test_results_of_one_tick_are_split_by_peer() -> None:
    box, sent = outbox()
    jobs: Any = [
        Finished("a", 1, 2),
        Finished("b", 7, 1),
        Finished(None, 0, 1),
        Finished("a", 2, 1),
        Finished("b", 8, 3, over=True),
        Finished("a", 3, 1),
    ]
    value = np.arange(9)
    box.results(jobs, {"value": value, "wide": value[:, None] * [1, 10]}, {"group": np.arange(6) / 10})
    box.flush(sent)
    found = {peer: messages[1] for peer, messages in sent.parcels}
    assert set(found) == {"a", "b"}
    mine, others = found["a"], found["b"]
    assert isinstance(mine, m.Results)
    assert isinstance(others, m.Results)
    assert (mine.ids, mine.rows) == ([1, 2, 3], [2, 1, 1])
    assert mine.arrays["value"].tolist() == [0, 1, 4, 8]
    assert mine.arrays["wide"].tolist() == [[0, 0], [1, 10], [4, 40], [8, 80]]
    assert mine.each["group"].tolist() == [0.0, 0.3, 0.5]
    assert (others.ids, others.arrays["value"].tolist(), others.each["group"].tolist()) == ([7], [2], [0.1])


def test_results_of_one_peer_travel_as_they_are() -> None:
    box, sent = outbox()
    arrays = {"value": np.arange(3)}
    jobs: Any = [Finished("a", 1, 1), Finished("a", 2, 2)]
    box.results(jobs, arrays, {})
    box.flush(sent)
    ((_, (_, results)),) = sent.parcels
    assert isinstance(results, m.Results)
    assert results.arrays["value"] is arrays["value"]


def test_every_parcel_begins_with_a_report_and_tells_the_last_request_seen() -> None:
    sent = Sent()
    account = Account()
    box = Outbox(account)
    account.open(40)
    box.saw("a", 5)
    box.put("b", m.Told(1, b""))
    box.flush(sent)
    reports = {peer: messages[0] for peer, messages in sent.parcels}
    assert reports == {"a": m.Report(40, None, 5), "b": m.Report(40, None, 0)}
    box.flush(sent)
    assert len(sent.parcels) == 2, "nothing new, nothing sent"


def test_problems_keep_their_kind_field_and_time() -> None:
    box, sent = outbox()
    held: dict[int, Any] = {4: object()}
    Reply(box, held, "a", 4).failed(QueueFull(9))
    box.flush(sent)
    ((_, (_, failed)),) = sent.parcels
    assert failed == m.Failed(4, "queue_full", QueueFull(9).detail, None, 9)
    assert held == {}
