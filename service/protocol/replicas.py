"""The devices of one of several replicas of a service, from which the tasks of all replicas are found.

A replica computes with its own devices. What concerns all replicas crosses to its siblings, as messages: a task that
one of them holds, a task whose id the client chose, models that are loaded and unloaded, and drift.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from service.protocol import messages as m
from service.protocol.client import RESTART_RETRY_AFTER, Stream
from service.protocol.devices import Devices
from service.protocol.errors import Problem, Unavailable, Unknown, problem_of
from service.protocol.fleet import agreed, no_such_task
from service.protocol.model_info import Catalogue, ModelInfo
from service.protocol.queue import Queue
from service.protocol.relay import Frames, Packing, numbered

logger = logging.getLogger("sluice")

_REMEMBERED = 1000
"""Tasks whose replica is remembered, so that it is asked first."""


class SiblingGone(Exception):
    """A replica that was asked does not exist any more."""


class Siblings(Protocol):
    """The other replicas, each with a ``Relay`` that answers."""

    own: str
    """The name of this replica."""

    async def holding(self, task: str) -> Mapping[str, bool | None]:
        """What ``Relay.holds`` says of each sibling that runs, by name. Raises Unavailable when one is silent."""

    async def answers(self, frames: Frames) -> Mapping[str, Frames]:
        """What each sibling that runs answers to a request. Raises Unavailable when one is silent."""

    async def answer(self, sibling: str, frames: Frames) -> Frames:
        """What one of them answers. Raises SiblingGone, or Unavailable when it is silent."""

    def follow(self, sibling: str, frames: Frames) -> AsyncIterator[Frames]:
        """``Relay.follow`` of one of them. Raises SiblingGone."""


class ReplicaDevices:
    """Behaves as the replica's ``own`` devices do (see ``Devices``), for the tasks and the models of all replicas."""

    def __init__(self, own: Devices, siblings: Siblings) -> None:
        self._own, self._siblings, self._packing = own, siblings, Packing()
        self._elsewhere: OrderedDict[str, str] = OrderedDict()
        """The sibling that holds a task."""
        self._following: dict[Stream, asyncio.Task[None]] = {}

    @property
    def catalogue(self) -> Catalogue:
        return self._own.catalogue

    @property
    def queue(self) -> Queue:
        return self._own.queue

    @property
    def alive(self) -> bool:
        return self._own.alive

    @property
    def lost(self) -> bool:
        return self._own.lost

    @property
    def failed(self) -> bool:
        return self._own.failed

    @property
    def up(self) -> Mapping[str, bool]:
        return self._own.up

    async def start(self) -> None:
        await self._own.start()

    async def stop(self) -> None:
        self.dismiss()
        await self._own.stop()

    def dismiss(self) -> None:
        self._own.dismiss()
        for stream, task in list(self._following.items()):
            stream.end(None, Unavailable("the service is shutting down", retry_after=RESTART_RETRY_AFTER))
            task.cancel()

    async def catch_up(self) -> None:
        await self._own.catch_up()

    async def ask(self, make: Callable[[int], m.Request]) -> Any:
        message = make(0)
        match message:
            case m.Submit(task=m.TaskKey(fingerprint=fingerprint) as task) if fingerprint:
                return await self._begin(message, task.id)
            case m.Follow() | m.StopTask():
                return await self._ask_holder(message)
            case m.Load() | m.Unload():
                return await self._ask_all(message)
            case m.Drift():
                return m.Told(message.id, await self._drifts(message))
        return await self._own.ask(numbered(message))

    def stream(self, make: Callable[[int], m.Request]) -> Stream:
        message = make(0)
        # Whoever streams a task has asked for its state before, which found the replica.
        sibling = self._elsewhere.get(message.task) if isinstance(message, m.Follow) else None
        if sibling is None:
            return self._own.stream(numbered(message))

        def leave() -> None:
            task.cancel()

        stream = Stream(leave)
        task = asyncio.create_task(self._pass_on(sibling, message, stream))
        self._following[stream] = task
        task.add_done_callback(lambda _: self._following.pop(stream, None))
        return stream

    async def _pass_on(self, sibling: str, message: m.Request, stream: Stream) -> None:
        """Show the snapshots that a sibling sends, until the end."""
        end: tuple[Any, Problem | None] = (None, no_such_task())
        try:
            async for frames in self._siblings.follow(sibling, self._packing.request(message)):
                answer = self._packing.answer_of(frames) if frames else None
                if isinstance(answer, m.Snapshot):
                    stream.show(answer)
                elif isinstance(answer, m.Failed):
                    end = None, problem_of(answer.kind, answer.detail, answer.field, answer.retry_after)
                elif answer is not None:
                    end = answer, None
        except SiblingGone:
            end = None, _lost_with_its_replica()
        stream.end(*end)

    # Tasks.

    async def _ask_holder(self, message: m.Follow | m.StopTask) -> Any:
        """The answer of the replica that holds a task. Raises Unknown where none does."""
        sibling = self._elsewhere.get(message.task)
        if sibling is not None:
            try:
                return await self._answer_of(sibling, message)
            except (SiblingGone, Unknown):
                self._elsewhere.pop(message.task, None)
        try:
            return await self._own.ask(numbered(message))
        except (Unknown, Unavailable) as problem:
            sibling, _ = await self._find(message.task)
            if sibling is None:
                raise problem
        try:
            return await self._answer_of(sibling, message)
        except SiblingGone:
            raise _lost_with_its_replica() from None

    async def _begin(self, message: m.Submit, task: str) -> Any:
        """Begin a task whose id the client chose, unless a replica holds it already.

        The same id may come again, through any replica and at the same time. All replicas give a new one to the same
        replica, which follows from the id (rendezvous hashing), and whose device then sees that the second is the same.
        """
        sibling = self._elsewhere.get(task)
        if sibling is None and not await self._holds(task):
            sibling, names = await self._find(task)
            if sibling is None:
                chosen = max(names, key=lambda name: blake2b(f"{name}/{task}".encode(), digest_size=8).digest())
                sibling = None if chosen == self._siblings.own else chosen
        if sibling is None:
            return await self._own.ask(numbered(message))
        try:
            answer = await self._answer_of(sibling, message)
        except SiblingGone:
            self._elsewhere.pop(task, None)
            raise Unavailable("a replica of the service has ended; try again", retry_after=1) from None
        self._remember(task, sibling)
        return answer

    async def _holds(self, task: str) -> bool:
        """Whether a device of this replica holds a task."""
        try:
            await self._own.ask(lambda number: m.Follow(number, task, "state"))
        except Unknown:
            return False
        return True

    async def _find(self, task: str) -> tuple[str | None, list[str]]:
        """The sibling that holds a task, None where none does; and the names of all replicas, this one first."""
        found = await self._siblings.holding(task)
        for name, holds in found.items():
            if holds:
                self._remember(task, name)
                return name, [self._siblings.own, *found]
        if None in found.values():
            raise Unavailable("a replica of the service does not answer", retry_after=RESTART_RETRY_AFTER)
        return None, [self._siblings.own, *found]

    async def _answer_of(self, sibling: str, message: m.Request) -> Any:
        """What a sibling answers. Raises SiblingGone, and the Problem that it answers with."""
        return _answer_or_raise(
            self._packing.answer_of(await self._siblings.answer(sibling, self._packing.request(message)))
        )

    def _remember(self, task: str, sibling: str) -> None:
        self._elsewhere[task] = sibling
        self._elsewhere.move_to_end(task)
        while len(self._elsewhere) > _REMEMBERED:
            self._elsewhere.popitem(last=False)

    # What reaches all replicas.

    async def _ask_all(self, message: m.Load | m.Unload) -> Any:
        """Answered when every replica has answered. Raises a Problem that names the replicas on which it failed."""
        frames = self._packing.request(message)
        asked = asyncio.create_task(self._siblings.answers(frames))
        answers: dict[str, Any] = {}
        try:
            answers[self._siblings.own] = await self._own.ask(numbered(message))
        except Problem as problem:
            answers[self._siblings.own] = problem
        except BaseException:
            asked.cancel()
            raise
        try:
            answers |= {name: _problem_or_answer(self._packing.answer_of(told)) for name, told in (await asked).items()}
        except Unavailable as problem:
            answers["the other replicas"] = problem
        return agreed(answers, isinstance(message, m.Unload))

    async def _drifts(self, message: m.Drift) -> bytes:
        """The lists of all replicas as one; a sibling that serves another version has nothing to add."""
        own: m.Told = await self._own.ask(numbered(message))
        found = msgspec.json.decode(own.data, type=list[msgspec.Raw])
        for frames in (await self._siblings.answers(self._packing.request(message))).values():
            answer = self._packing.answer_of(frames)
            if isinstance(answer, m.Told):
                found += msgspec.json.decode(answer.data, type=list[msgspec.Raw])
        return msgspec.json.encode(found)

    async def agree(self, theirs: Mapping[str, Frames]) -> None:
        """Have this replica, which has just loaded the store, and its siblings serve the same models.

        ``theirs`` is what ``Relay.serves`` says of each sibling. A name that none of them knows was unloaded before
        this replica began, and is unloaded here. A name that serves here in another version has changed in the store
        since a sibling looked, which then loads it. Raises the Problem of one that cannot, or SiblingGone.
        """
        catalogues = {name: self._packing.answer_of(frames) for name, frames in theirs.items()}
        known = {name: told for name, told in catalogues.items() if isinstance(told, m.Models) and not told.starting}
        if not known:
            return
        named = set[str]()
        for told in known.values():
            named |= {model.name for model in told.models} | {refusal.name for refusal in told.refused}
        for model in self.catalogue.models:
            if model.name not in named:
                logger.info("%s is unloaded, since no other replica serves it", model.name)
                await self._own.ask(lambda number, name=model.name: m.Unload(number, name))  # type: ignore[misc]
                continue
            behind = [sibling for sibling, told in known.items() if not _serves_alike(told, model)]
            if behind:  # or this replica is: the store may have changed while it looked
                await self._own.ask(lambda number, name=model.name: m.Load(number, name))  # type: ignore[misc]
            for sibling in behind:
                logger.info("the replica %s loads %s", sibling, model.name)
                await self._answer_of(sibling, m.Load(0, model.name))


def _serves_alike(told: m.Models, model: ModelInfo) -> bool:
    same = next((each for each in told.models if each.name == model.name), None)
    return same is not None and (same.version, same.aliases) == (model.version, model.aliases)


def _answer_or_raise(answer: m.Down) -> Any:
    if isinstance(answer := _problem_or_answer(answer), Problem):
        raise answer
    return answer


def _problem_or_answer(answer: m.Down) -> Any:
    if isinstance(answer, m.Failed):
        return problem_of(answer.kind, answer.detail, answer.field, answer.retry_after)
    return answer


def _lost_with_its_replica() -> Problem:
    return Unavailable("the replica that held this inpainting has ended, and the inpainting with it")
