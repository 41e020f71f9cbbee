"""The client of a device: asks, awaits answers, and knows which models there are. Its transport is a subclass's."""

from __future__ import annotations

import asyncio
import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from service.protocol import messages as m
from service.protocol.errors import OutOfMemory, Problem, Unavailable, Unexpected, is_shortage, problem_of
from service.protocol.model_info import Catalogue
from service.protocol.queue import Backlog, Queue
from service.protocol.tenants import TENANT

logger = logging.getLogger("sluice")

RESTART_RETRY_AFTER = 5
"""Seconds after which a client may ask again when the device process has died: about what a start takes."""


class Found(NamedTuple):
    """The rows of one request out of ``Results``."""

    arrays: m.Arrays
    each: m.Arrays
    """Numbers that belong to the request as a whole, as arrays of one entry."""


class DeviceClient(ABC):
    """One api process's view of one device. Belongs to one event loop; ``start`` before use, ``stop`` at the end.

    ``bound`` is the most work that may wait, in item-ticks. ``name`` tells devices apart, such as `cuda:1`.
    """

    def __init__(self, bound: int, name: str = "device") -> None:
        self.name = name
        self.catalogue = Catalogue()
        self.alive = False
        """Whether the device answers."""
        self.lost = False
        """Whether the device answered once and has died since."""
        self.failed = False
        """Whether the device is dead for good."""
        self.backlog = Backlog()
        self.queue = Queue(bound, [self.backlog])
        self.numbers = itertools.count(1)
        """Of the requests; clients that belong together share one."""
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever the catalogue or the connection has changed."""
        self._waiting: dict[int, asyncio.Future[Any] | Stream] = {}
        self._outbox: list[m.Up] = []
        self._changed = asyncio.Event()

    @abstractmethod
    async def start(self) -> None:
        """Connect. Returns at once; the catalogue follows."""

    @abstractmethod
    async def stop(self) -> None:
        """End the connection; what still waits fails."""

    @abstractmethod
    def _send(self, messages: list[m.Up]) -> None:
        """Hand messages to the transport."""

    @property
    def up(self) -> dict[str, bool]:
        """Whether the device of this name answers."""
        return {self.name: self.alive}

    async def ask(self, make: Callable[[int], m.Request]) -> Any:
        """Send the message that ``make`` builds from a fresh number and wait for its answer.

        Cancelling the wait tells the device, which drops the work. Raises the Problem that ended the request.
        """
        return await self.answer_to(make(next(self.numbers)))

    async def answer_to(self, message: m.Request) -> Any:
        """Send a message that bears one of ``numbers``, and wait for its answer as ``ask`` does."""
        number = message.id
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._post(number, message, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            self._waiting.pop(number, None)

    def stream(self, make: Callable[[int], m.Request]) -> Stream:
        """Send the message that ``make`` builds; its answer is several messages: snapshots, then the end."""
        return self.stream_of(make(next(self.numbers)))

    def stream_of(self, message: m.Request) -> Stream:
        """Send a message that bears one of ``numbers`` and is answered by a stream."""
        number = message.id
        stream = Stream(lambda: self._cancel(number))
        self._post(number, message, stream)
        return stream

    def tell(self, message: m.Up) -> None:
        """Send a message that has no answer."""
        if self.alive:
            self._queue_up(message)

    def _post(self, number: int, message: m.Up, waiter: asyncio.Future[Any] | Stream) -> None:
        if not self.alive:
            raise device_lost()
        self._waiting[number] = waiter
        if isinstance(message, m.Submit):
            message.tenant = TENANT.get()
            self.backlog.sent(number, message.cost)
        self._queue_up(message)

    def _cancel(self, number: int) -> None:
        if self._waiting.pop(number, None) is not None and self.alive:
            self._queue_up(m.Cancel(number))

    def _queue_up(self, message: m.Up) -> None:
        """Whatever one pass of the event loop sends travels together."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(message)

    def _flush(self) -> None:
        messages, self._outbox = self._outbox, []
        if not messages:
            return
        try:
            self._send(messages)
        except Exception as error:
            problem: Problem = OutOfMemory()
            if not is_shortage(error):
                logger.exception("messages to the device were not sent")
                problem = Unexpected()
            for message in messages:
                self._settle(getattr(message, "id", 0), None, problem)

    def _missed(self) -> None:
        """A message of the device, or one to it, could not be read for want of memory.

        Nobody knows whose it was: all that wait fail, and the device drops their work. Models are asked for again.
        """
        waiting, self._waiting = self._waiting, {}
        for number, waiter in waiting.items():
            _end(waiter, None, OutOfMemory())
            self._queue_up(m.Cancel(number))
        self._queue_up(m.Hello())

    def _receive(self, messages: Sequence[m.Down]) -> None:
        for message in messages:
            if isinstance(message, m.Results):
                self._deliver(message)
            elif isinstance(message, m.Report):
                self.backlog.report(message)
            elif isinstance(message, m.Models):
                self._learn(message)
            elif isinstance(message, m.Failed):
                problem = problem_of(message.kind, message.detail, message.field, message.retry_after)
                self._settle(message.id, None, problem)
            elif isinstance(message, m.Missed):
                self._missed()
            elif isinstance(message, m.Snapshot):
                waiter = self._waiting.get(message.id)
                if isinstance(waiter, Stream):
                    waiter.show(message)
            else:
                self._settle(message.id, message, None)

    def _deliver(self, results: m.Results) -> None:
        start = 0
        for place, (number, rows) in enumerate(zip(results.ids, results.rows, strict=True)):
            stop = start + rows
            if number in self._waiting:
                whole = len(results.ids) == 1
                arrays = results.arrays if whole else {key: a[start:stop] for key, a in results.arrays.items()}
                each = {key: array[place : place + 1] for key, array in results.each.items()}
                self._settle(number, Found(arrays, each), None)
            start = stop

    def _settle(self, number: int, answer: Any, problem: Problem | None) -> None:
        waiter = self._waiting.pop(number, None)
        if waiter is not None:
            _end(waiter, answer, problem)

    def _learn(self, models: m.Models) -> None:
        self.alive, self.lost = True, False
        self.catalogue = Catalogue(models.models, models.refused, models.waiting, models.default, models.starting)
        self._tell_change()

    def _lost(self, final: bool = False) -> None:
        """The device has died: what it held fails, and the models are unknown until a new one tells them."""
        self.lost, self.alive, self.failed = self.lost or self.alive, False, final
        self.catalogue = Catalogue()
        self.backlog.reset()
        self._outbox = []
        self._fail_all(device_lost)
        self._tell_change()

    def dismiss(self) -> None:
        """Whatever still waits fails: the service ends."""
        self._fail_all(lambda: Unavailable("the service is shutting down", retry_after=RESTART_RETRY_AFTER))

    def _fail_all(self, problem: Callable[[], Problem]) -> None:
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            _end(waiter, None, problem())

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        self.on_change()

    def give_up(self) -> None:
        """The device is dead for good."""
        self._lost(final=True)

    async def until(self, holds: Callable[[DeviceClient], bool]) -> None:
        """Wait until something holds of the catalogue or of the connection, which is looked at whenever one changes."""
        while not holds(self):
            await self._changed.wait()

    async def catch_up(self) -> None:
        """Wait until all is known here that the device had told anybody when this was called. At once where it is lost.

        A device that has never answered is waited for. Messages arrive in their order, so the answer to a ping comes
        after the models that were told before it.
        """
        await self.until(lambda client: client.alive or client.lost or client.failed)
        with suppress(Problem):  # it has died meanwhile
            await self.ask(m.Ping)


def _end(waiter: asyncio.Future[Any] | Stream, answer: Any, problem: Problem | None) -> None:
    """Tell who waits for a request its answer, or the problem that ended it."""
    if isinstance(waiter, Stream):
        waiter.end(answer, problem)
    elif not waiter.done():
        if problem is None:
            waiter.set_result(answer)
        else:
            waiter.set_exception(problem)


def device_lost() -> Unavailable:
    """The problem of requests while no device answers."""
    return Unavailable("the device process has stopped and is being started again", retry_after=RESTART_RETRY_AFTER)


class Stream:
    """The answers to one request that come in several messages. A slow reader gets the latest and misses the others."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._latest: m.Snapshot | None = None
        self._told: m.Snapshot | None = None
        self._end: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()

    def show(self, snapshot: m.Snapshot) -> None:
        self._latest = snapshot
        self._news.set()

    def end(self, answer: Any, problem: Problem | None) -> None:
        if self._end.done():
            return
        if problem is None:
            self._end.set_result(answer)
        else:
            self._end.set_exception(problem)
            self._end.exception()  # looked at: a stream that nobody reads any more is no unhandled error
        self._news.set()

    async def snapshots(self, patience: float) -> AsyncIterator[m.Snapshot | None]:
        """Snapshots until the end, each the latest there is; None after ``patience`` seconds without one."""
        while True:
            if self._latest is not self._told:
                self._told = self._latest
                yield self._told
                continue
            if self._end.done():
                return
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), patience)
                continue
            yield None

    async def result(self) -> Any:
        """What the request ends in. Raises the Problem that ended it."""
        return await asyncio.shield(self._end)

    def close(self) -> bool:
        """Stop listening; True when the work had not ended and is dropped."""
        if self._end.done():
            return False
        self._cancel()
        return True
