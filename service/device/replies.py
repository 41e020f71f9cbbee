"""What the device sends: messages gathered during one turn of the loop, one parcel for each api process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from service.device.account import Account
from service.device.jobs import Job
from service.protocol import messages as m
from service.protocol.errors import Problem
from service.protocol.port import Port


class Outbox:
    """Messages by api process; ``flush`` sends them, each parcel with a report on the queue."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._parcels: dict[str, list[m.Down]] = {}
        self._seen: dict[str, int] = {}
        self._told: dict[str, int] = {}
        """Item-ticks that wait, as the latest report to each api process says."""

    def put(self, peer: str, message: m.Down) -> None:
        self._parcels.setdefault(peer, []).append(message)

    def fail(self, peer: str, number: int, problem: Problem) -> None:
        self.put(peer, m.Failed(number, problem.kind, problem.detail, problem.field, problem.retry_after))

    def saw(self, peer: str, number: int) -> None:
        """A request of this number has come: from now on it is in the account."""
        self._seen[peer] = number
        self._parcels.setdefault(peer, [])

    def forget(self, peer: str) -> None:
        """An api process that is gone."""
        self._seen.pop(peer, None)
        self._parcels.pop(peer, None)
        self._told.pop(peer, None)

    def results(self, jobs: Sequence[Job], arrays: m.Arrays, each: m.Arrays) -> None:
        """Answer jobs whose rows follow one another in ``arrays``; those that are over get nothing."""
        places: dict[str | None, list[int]] = {}
        for place, job in enumerate(jobs):
            if not job.over:
                places.setdefault(job.owner.peer, []).append(place)
        starts = [0, *accumulate(map(len, jobs))]
        for peer, those in places.items():
            if peer is None:
                continue
            numbers, rows = [jobs[place].owner.number for place in those], [len(jobs[place]) for place in those]
            mine, apart = arrays, each
            if len(those) < len(jobs):
                index = np.concatenate([np.arange(starts[place], starts[place + 1]) for place in those])
                mine = {name: array[index] for name, array in arrays.items()}
                apart = {name: array[those] for name, array in each.items()}
            self.put(peer, m.Results(numbers, rows, mine, apart))

    def flush(self, port: Port) -> None:
        """Send every parcel, and a report alone to whom the queue looks far fuller than it is.

        Work that was cancelled, and that of other api processes, leaves the queue without an answer to this one, which
        would refuse requests for it.
        """
        waiting = self._account.waiting
        for peer, told in self._told.items():
            if waiting < told / 2:
                self._parcels.setdefault(peer, [])
        if not self._parcels:
            return
        parcels, self._parcels = self._parcels, {}
        for peer, messages in parcels.items():
            self._told[peer] = waiting
            report = m.Report(waiting, self._account.pace, self._seen.get(peer, 0))
            port.send(peer, [report, *messages])


class Reply:
    """The owner of a job whose answer is rows. ``held`` maps the numbers of a client's requests to what they hold."""

    __slots__ = ("_held", "_outbox", "number", "peer")

    def __init__(self, outbox: Outbox, held: dict[int, Any], peer: str, number: int) -> None:
        self._outbox, self._held, self.peer, self.number = outbox, held, peer, number

    def failed(self, problem: Problem) -> None:
        self._held.pop(self.number, None)
        self._outbox.fail(self.peer, self.number, problem)

    def completed(self) -> None:
        self._held.pop(self.number, None)
