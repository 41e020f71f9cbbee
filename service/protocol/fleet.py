"""Several devices that look like one: a request goes to the device with the least work, a task is found where it is.

Every api process has a fleet of its own over the same devices. Nothing is shared between the fleets, so whatever all of
them must agree on follows from what the devices say, or from an id.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from service.protocol import messages as m
from service.protocol.catalogues import together
from service.protocol.client import DeviceClient, Stream, device_lost
from service.protocol.errors import Problem, Unknown, problem_of
from service.protocol.exposition import merged
from service.protocol.model_info import Catalogue
from service.protocol.places import Places
from service.protocol.queue import Queue

_STATS_PATIENCE = 4.0
"""Seconds after which the metrics of the other devices are told without those of one that does not answer."""
_FIRST_ANSWER = 10.0
"""Seconds that a request waits for devices of which none has ever answered. Of several api processes one may be asked
before it has met them, while another already says that the service is ready."""


class Fleet:
    """Behaves as a client of one device does (see ``Devices``). Belongs to one event loop."""

    def __init__(self, bound: int, clients: Sequence[DeviceClient]) -> None:
        self.clients = tuple(clients)
        self.queue = Queue(bound, [client.backlog for client in clients])
        self.catalogue = Catalogue()
        self._numbers = itertools.count(1)
        for client in clients:
            client.numbers, client.on_change = self._numbers, self._look
        self._asked = dict.fromkeys(clients, 0)
        """The latest request that was routed to each device."""
        self._tasks: Places[DeviceClient] = Places()

    @property
    def alive(self) -> bool:
        return any(client.alive for client in self.clients)

    @property
    def lost(self) -> bool:
        return not self.alive and any(client.lost for client in self.clients)

    @property
    def failed(self) -> bool:
        return all(client.failed for client in self.clients)

    @property
    def up(self) -> Mapping[str, bool]:
        return {client.name: client.alive for client in self.clients}

    async def start(self) -> None:
        for client in self.clients:
            await client.start()

    async def stop(self) -> None:
        for client in self.clients:
            await client.stop()

    def dismiss(self) -> None:
        for client in self.clients:
            client.dismiss()

    async def catch_up(self) -> None:
        asked = [client for client in self.clients if client.alive] or self.clients
        news = [asyncio.create_task(client.catch_up()) for client in asked]
        try:
            # Where none has answered yet, the first that does can serve.
            await asyncio.wait(news, return_when=asyncio.ALL_COMPLETED if self.alive else asyncio.FIRST_COMPLETED)
        finally:
            for task in news:
                task.cancel()

    async def _first_answer(self) -> None:
        """Wait until one of the devices has answered, or is known not to."""
        news = [
            asyncio.create_task(client.until(lambda one: one.alive or one.lost or one.failed))
            for client in self.clients
        ]
        await asyncio.wait(news, timeout=_FIRST_ANSWER, return_when=asyncio.FIRST_COMPLETED)
        for task in news:
            task.cancel()

    async def ask(self, make: Callable[[int], m.Request]) -> Any:
        if not (self.alive or self.lost or self.failed):
            await self._first_answer()
        message = make(next(self._numbers))
        if len(self.clients) == 1:
            return await self.clients[0].answer_to(message)
        match message:
            case m.Submit(task=m.TaskKey() as task):
                return await self._submit_task(message, task)
            case m.Submit() | m.Read():
                return await self._least_loaded(message.model).answer_to(message)
            case m.Follow() | m.StopTask():
                return await self._ask_holder(message)
            case m.Load() | m.Unload():
                return await self._ask_all(message)
            case m.Drift():
                return m.Told(message.id, await self._drifts(message))
            case m.Stats():
                return m.Told(message.id, await self._stats())
            case m.Ping() | m.Claim():
                return await self._living()[0].answer_to(message)

    def stream(self, make: Callable[[int], m.Request]) -> Stream:
        message = make(next(self._numbers))
        if len(self.clients) == 1:
            return self.clients[0].stream_of(message)
        if isinstance(message, m.Submit):
            return self._least_loaded(message.model).stream_of(message)
        holder = self._tasks.get(message.task) if isinstance(message, m.Follow) else None
        if holder is None:  # whoever streams a task has asked for its state before, which found the device
            raise no_such_task()
        return holder.stream_of(message)

    # Routing.

    def _living(self) -> list[DeviceClient]:
        living = [client for client in self.clients if client.alive]
        if not living:
            raise device_lost()
        return living

    def _serving(self, reference: str) -> list[DeviceClient]:
        """The devices that serve a model. Where none does any more, all: each knows what it served a moment ago."""
        living = self._living()
        return [client for client in living if client.catalogue.serves(reference)] or living

    def _least_loaded(self, reference: str) -> DeviceClient:
        """Of the devices that serve a model, the one where the fewest item-ticks wait; of equal ones, take turns."""
        found = min(self._serving(reference), key=lambda client: (client.backlog.waiting, self._asked[client]))
        self._asked[found] = next(self._numbers)
        return found

    # Tasks.

    async def _submit_task(self, message: m.Submit, task: m.TaskKey) -> Any:
        """Begin an inpainting that outlives its request, unless its id is known already.

        An id that the client chose may come again, through any api process and at the same time. An id that the service
        drew has no fingerprint and cannot.
        """
        if task.fingerprint:
            holder = await self._find(task.id) or await self._claim(task.id, message.model)
            message.id = next(self._numbers)  # numbers must reach a device in their order
        else:
            holder = self._least_loaded(message.model)
        answer = await holder.answer_to(message)
        self._tasks.remember(task.id, holder)
        return answer

    async def _claim(self, task: str, reference: str) -> DeviceClient:
        """The device that is to begin a task: the one with the least work, unless another fleet was faster.

        All fleets ask the same device who was first, the one that follows from the id (rendezvous hashing).
        """
        found = self._least_loaded(reference)
        keeper = max(
            self._living(), key=lambda client: blake2b(f"{client.name}/{task}".encode(), digest_size=8).digest()
        )
        told: m.Told = await keeper.answer_to(m.Claim(next(self._numbers), task, found.name))
        return next((client for client in self.clients if client.name == told.data.decode()), found)

    async def _find(self, task: str) -> DeviceClient | None:
        try:
            await self._ask_holder(m.Follow(next(self._numbers), task, "state"))
        except Unknown:
            return None
        return self._tasks[task]

    async def _ask_holder(self, message: m.Follow | m.StopTask) -> Any:
        """The answer of the device that holds a task. Raises Unknown where none does."""
        holder = self._tasks.get(message.task)
        if holder is not None:
            try:
                return await holder.answer_to(message)
            except Unknown:  # forgotten there, or the device was started again
                self._tasks.pop(message.task, None)
        asked = self._living()
        answers = await _answers(asked, message)
        for client, answer in zip(asked, answers, strict=True):
            if not isinstance(answer, Problem):
                self._tasks.remember(message.task, client)
                return answer
        raise next((answer for answer in answers if not isinstance(answer, Unknown)), no_such_task())

    # What reaches all devices.

    async def _ask_all(self, message: m.Load | m.Unload) -> Any:
        """Answered when every device has answered. Raises a Problem that names the devices on which it failed."""
        answers = await _answers(self.clients, message)
        names = [client.name for client in self.clients]
        return agreed(dict(zip(names, answers, strict=True)), isinstance(message, m.Unload))

    async def _stats(self) -> bytes:
        asked = {
            asyncio.create_task(client.answer_to(m.Stats(next(self._numbers)))): client.name
            for client in self._living()
        }
        try:
            await asyncio.wait(asked, timeout=_STATS_PATIENCE)
        finally:
            for task in asked:
                task.cancel()
        found = {
            name: task.result().data
            for task, name in asked.items()
            if task.done() and not task.cancelled() and task.exception() is None
        }
        return merged(found)

    async def _drifts(self, message: m.Drift) -> bytes:
        """The lists of all devices that serve the model, as one. Raises the Problem of one that cannot tell."""
        found: list[msgspec.Raw] = []
        for answer in await _answers(self._serving(message.model), message):
            if isinstance(answer, Problem):
                raise answer
            found += msgspec.json.decode(answer.data, type=list[msgspec.Raw])
        return msgspec.json.encode(found)

    def _look(self) -> None:
        """A device has changed: look at all of them."""
        self.catalogue = together([client.catalogue for client in self.clients if client.alive] or [Catalogue()])


def agreed(answers: Mapping[str, Any], unloading: bool) -> Any:
    """One answer for those of several devices, or Problems, by name. Raises a Problem that names where it failed."""
    done = {name: answer for name, answer in answers.items() if not isinstance(answer, Problem)}
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, Problem)}
    if done and unloading:  # a device that did not serve it need not unload it
        failed = {name: problem for name, problem in failed.items() if not isinstance(problem, Unknown)}
    if not failed:
        return next(iter(done.values()))
    first = next(iter(failed.values()))
    if len({problem.detail for problem in failed.values()}) == 1 and not done:
        raise first
    details = "; ".join(f"{name}: {problem.detail}" for name, problem in failed.items())
    names = ", ".join(done) or "none"
    raise problem_of(first.kind, f"{details} (done on: {names})", first.field, first.retry_after)


async def _answers(clients: Sequence[DeviceClient], message: m.Request) -> list[Any]:
    """What each device answers, or the Problem that it answers with."""
    answers = await asyncio.gather(*(client.answer_to(message) for client in clients), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Problem):
            raise answer
    return answers


def no_such_task() -> Unknown:
    """The problem of requests for a task that no device holds."""
    return Unknown("there is no such inpainting, or it has been forgotten", "id")
