"""The guard of a request: a bounded body, a deadline, and an eye on the client.

No web framework stops a handler whose client has left, so the guard does: it cancels the handler, which tells the
device, and the scheduler leaves the rows out of the next tick.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Message, Receive, Scope

from service.protocol.errors import Busy, DeadlinePassed, TooLarge, WrongType, WrongValue

if TYPE_CHECKING:
    from service.api.service import Service

CLIENT_LEFT = 499
"""Nobody reads this status but the log and the metrics."""

_AT_ONCE = 0.05
"""Seconds within which nobody looks whether the client is still there: most requests are over by then."""
_SOON = 1
"""Seconds after which bodies that are held now may be answered."""
_LONGEST_MS = 86_400_000
_LONGEST_DIGITS = 32


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


class BytesInFlight:
    """The bytes of all bodies that an api process holds. They count as they arrive, not as they are announced."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    def hold(self, size: int) -> None:
        """Raises Busy where there is no room."""
        if self._held + size > self._most:
            raise Busy("the service holds as many bytes of bodies as it may; try again later", retry_after=_SOON)
        self._held += size

    def give_back(self, size: int) -> None:
        self._held -= size


class Exchange:
    """One request: its headers, its body, its deadline. ``service`` is what answers it."""

    __slots__ = (
        "_began",
        "_client_left",
        "_held",
        "_length",
        "_limit",
        "_receive",
        "_timeout",
        "_whole",
        "headers",
        "scope",
        "service",
    )

    def __init__(self, service: Service, scope: Scope, receive: Receive) -> None:
        self.service, self.scope, self._receive = service, scope, receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._limit = service.settings.max_body_bytes
        self._began = time.monotonic()
        self._length = self._held = 0
        self._whole = False
        self._client_left = False
        self._timeout: asyncio.Timeout | None = None

    def header(self, name: bytes) -> str | None:
        """A header's value, by its name in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def accept(self) -> str | None:
        return self.header(b"accept")

    @property
    def path_id(self) -> str:
        """The ``{id}`` of the path."""
        return str(self.scope["path_params"]["id"])

    def path_part(self, name: str) -> str | None:
        """A part of the path that the route gives a name; None where this address of the route lacks it."""
        part: str | None = self.scope["path_params"].get(name)
        return part

    async def body(self) -> bytes:
        """The whole body. Raises WrongType for a compressed one, TooLarge, or ClientLeft if the client leaves first."""
        if self.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise WrongType("a body must be sent without a content encoding", "Content-Encoding")
        return await self.body_as_sent()

    async def body_as_sent(self) -> bytes:
        """The whole body, which may be compressed. Raises TooLarge, or ClientLeft if the client leaves first."""
        announced = self.headers.get(b"content-length")
        if announced is not None and announced.isdigit() and int(announced) > self._limit:
            raise self._too_large()
        first = await self._message()
        if self._whole:
            return bytes(first.get("body", b""))
        chunks = [first.get("body", b"")]
        while not self._whole:
            chunks.append((await self._message()).get("body", b""))
        return b"".join(chunks)

    def hold(self, size: int) -> None:
        """Count more bytes that this request holds until its end. Raises QueueFull where there is no room for them."""
        self.service.bodies.hold(size)
        self._held += size

    def deadline(self, within: float | None = None) -> float:
        """A reading of time.monotonic() at which the request is given up: the service's limit, or the client's wish.

        The wish is the header's, or ``within`` as many seconds as the body asks for, whichever is less. It counts from
        the beginning of the request, whenever it becomes known.
        """
        seconds = self.service.settings.deadline
        asked = self.header(b"x-deadline-ms")
        if asked is not None:
            # Python refuses to read a number of thousands of digits.
            if not asked.strip().isdecimal() or len(asked) > _LONGEST_DIGITS or not 1 <= int(asked) <= _LONGEST_MS:
                raise WrongValue(
                    f"x-deadline-ms: must be a whole number from 1 to {_LONGEST_MS} of milliseconds", "x-deadline-ms"
                )
            seconds = min(seconds, int(asked) / 1000)
        if within is not None:
            seconds = min(seconds, within)
        if seconds < self.service.settings.deadline and self._timeout is not None:
            passed = time.monotonic() - self._began
            self._timeout.reschedule(asyncio.get_running_loop().time() + seconds - passed)
        return self._began + seconds

    async def run(self, work: Callable[[], Awaitable[Response]]) -> Response:
        """The answer of some work. Raises ClientLeft or DeadlinePassed when one of these ended it."""
        loop = asyncio.get_running_loop()
        watch = _Watch(self, loop)
        try:
            async with asyncio.timeout(self.service.settings.deadline) as self._timeout:
                return await work()
        except TimeoutError:
            if self._client_left:
                raise ClientLeft from None
            if self._timeout is not None and self._timeout.expired():
                raise DeadlinePassed from None
            raise
        finally:
            watch.end()
            self.service.bodies.give_back(self._held)

    async def wait_for_departure(self) -> None:
        """Returns when the client has left; the handler then ends."""
        while not self._whole:
            await asyncio.sleep(_AT_ONCE)
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._client_left = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())

    async def _message(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        more = len(message.get("body", b""))
        self._length += more
        if self._length > self._limit:
            raise self._too_large()
        self.hold(more)
        self._whole = not message.get("more_body", False)
        return message

    def _too_large(self) -> TooLarge:
        return TooLarge(f"a body may hold {self._limit} bytes", "body")


class _Watch:
    """Looks for the client's departure, but not before the request has lasted a while."""

    __slots__ = ("_exchange", "_soon", "_task")

    def __init__(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange = exchange
        self._task: asyncio.Task[None] | None = None
        self._soon = loop.call_later(_AT_ONCE, self._begin)

    def end(self) -> None:
        self._soon.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._exchange.wait_for_departure())
