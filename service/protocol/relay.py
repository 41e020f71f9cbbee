"""Messages between the replicas of a service: as bytes, and what the devices of one replica answer to another one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from service.protocol import messages as m
from service.protocol.codec import Codec, of_api, of_device
from service.protocol.devices import Devices
from service.protocol.errors import Problem, Unknown
from service.protocol.tenants import TENANT

Frames = list[bytes]

_ALIVE = 10.0
"""Seconds without a snapshot after which a stream sends an empty sign of life."""


class Packing:
    """Turns one message into frames and back. Belongs to one event loop."""

    def __init__(self) -> None:
        self._requests: Codec[m.Up] = of_device()
        self._answers: Codec[m.Down] = of_api()

    def request(self, message: m.Request) -> Frames:
        """A request with the seconds that it has left: the clocks of two machines differ."""
        if isinstance(message, m.Submit):
            left = message.deadline - time.monotonic()
            message = msgspec.structs.replace(message, deadline=left, tenant=TENANT.get())
        return _bytes(self._requests.encode([message]))

    def request_of(self, frames: Sequence[bytes]) -> m.Request:
        """The request in frames, its deadline by this machine's clock."""
        (message,) = self._requests.decode(frames)
        if isinstance(message, m.Submit):
            message.deadline += time.monotonic()
        assert not isinstance(message, m.Hello | m.Cancel | m.Gone)
        return message

    def answer(self, answer: m.Down | Problem) -> Frames:
        if isinstance(answer, Problem):
            answer = m.Failed(0, answer.kind, answer.detail, answer.field, answer.retry_after)
        return _bytes(self._answers.encode([answer]))

    def answer_of(self, frames: Sequence[bytes]) -> m.Down:
        (answer,) = self._answers.decode(frames)
        return answer


class Relay:
    """Answers other replicas for the devices of this one."""

    def __init__(self, own: Devices) -> None:
        self._own, self._packing = own, Packing()

    async def holds(self, task: str) -> bool | None:
        """Whether a device of this replica holds a task; None where it cannot be said now."""
        try:
            await self._own.ask(lambda number: m.Follow(number, task, "state"))
        except Unknown:
            return False
        except Problem:
            return None
        return True

    def serves(self) -> Frames:
        """What this replica serves, as a ``Models``."""
        known = self._own.catalogue
        told = m.Models(known.models, known.refused, known.waiting, known.default, known.starting)
        return self._packing.answer(told)

    async def answer(self, frames: Sequence[bytes]) -> Frames:
        """The answer to a request, or the problem that it ends in."""
        message = self._packing.request_of(frames)
        try:
            if isinstance(message, m.Submit):  # it was admitted where it came from, and there is room to be found here
                TENANT.set(message.tenant)
                with self._own.queue.reserve() as room:
                    room.resize(message.cost)
            return self._packing.answer(await self._own.ask(numbered(message)))
        except Problem as problem:
            return self._packing.answer(problem)

    async def follow(self, frames: Sequence[bytes]) -> AsyncIterator[Frames]:
        """The answers to a request that is answered by a stream, the end last; no frames are a sign of life."""
        message = self._packing.request_of(frames)
        try:
            stream = self._own.stream(numbered(message))
        except Problem as problem:
            yield self._packing.answer(problem)
            return
        try:
            async for snapshot in stream.snapshots(_ALIVE):
                yield [] if snapshot is None else self._packing.answer(snapshot)
            yield self._packing.answer(await stream.result())
        except Problem as problem:
            yield self._packing.answer(problem)
        finally:
            stream.close()


def numbered(message: Any) -> Callable[[int], Any]:
    """What gives a message its number."""

    def made(number: int) -> Any:
        message.id = number
        return message

    return made


def _bytes(frames: Sequence[bytes | memoryview]) -> Frames:
    return [bytes(frame) for frame in frames]
