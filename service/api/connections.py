"""One TCP connection, and all of an api process together: bounds on heads, on time, and on how many there are.

A connection is *waiting* while no request of it is being answered: it is new, kept alive, or has sent a part of a head.
When there are too many, the one that has waited longest makes room. Where none waits, a few more are taken for probes.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.inlet import Inlet, new_block
from service.api.problems import body_of
from service.api.security_headers import PROBES, secure
from service.protocol.errors import OutOfMemory, is_shortage
from service.protocol.tenants import network_of
from service.settings import Settings

_PROBES = tuple(path.encode() for path in PROBES)
LARGEST_HEAD = 64 * 1024
"""Bytes of a request's target and fields, trailers included."""
_LINGER = 5.0
"""Seconds for which the rest of a body is read that was answered before its end, so that the answer arrives."""
_STALLED = 60.0
"""Seconds after which a client that takes nothing of its answer is left."""
_LATE = 1.0
"""Seconds for which a new connection may still send its request when the service ends."""
_RESERVE = 64
"""Connections beyond the limits, for probes."""
_FILES = 192
"""File descriptors of an api process that are no connections of clients, and the reserve."""


class Limits(NamedTuple):
    """Of one api process. Seconds: ``head`` for a whole one, ``body`` without a byte of it, ``kept`` idle."""

    connections: int
    per_address: int
    head: float
    body: float
    kept: float


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings name, as far as the process may open files. Raises that bound as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + _FILES + _RESERVE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files = settings.max_connections if soft == resource.RLIM_INFINITY else max(soft - _FILES - _RESERVE, 1)
    return Limits(
        min(settings.max_connections, files),
        settings.max_connections_per_address,
        settings.header_timeout,
        settings.body_timeout,
        settings.keep_alive,
    )


class Crowd:
    """All connections of an api process, and those of each address.

    The dicts of waiting connections keep the order in which they began to wait.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._all: set[Connection] = set()
        self._counts: dict[str, int] = {}
        self._waiting: dict[Connection, None] = {}
        self._waiting_of: dict[str, dict[Connection, None]] = {}

    def enter(self, one: Connection) -> None:
        """Take a new connection, in place of a waiting one where there are too many."""
        address = one.address
        if address and self._counts.get(address, 0) >= self.limits.per_address:
            one.surplus = not self._evict(self._waiting_of.get(address, {}))
        elif len(self._all) >= self.limits.connections:
            one.surplus = not self._evict(self._waiting)
        if len(self._all) >= self.limits.connections + _RESERVE:
            one.leave()
            return
        self._all.add(one)
        self._counts[address] = self._counts.get(address, 0) + 1
        self.waits(one)

    def leave(self, one: Connection) -> None:
        """A connection is over."""
        if one not in self._all:
            return
        self.busy(one)
        self._all.discard(one)
        self._counts[one.address] -= 1
        if not self._counts[one.address]:
            del self._counts[one.address]
            self._waiting_of.pop(one.address, None)

    def waits(self, one: Connection) -> None:
        """No request of it is being answered from now on."""
        if one in self._all:
            self._waiting[one] = None
            self._waiting_of.setdefault(one.address, {})[one] = None

    def busy(self, one: Connection) -> None:
        """A request of it is being answered."""
        self._waiting.pop(one, None)
        self._waiting_of.get(one.address, {}).pop(one, None)

    def sweep(self) -> None:
        """Leave the connections that have taken too long. Called once a second."""
        now = time.monotonic()
        for one in list(self._all):
            one.check(now)

    def _evict(self, waiting: dict[Connection, None]) -> bool:
        oldest = next(iter(waiting), None)
        if oldest is None:
            return False
        oldest.leave()
        self.leave(oldest)
        return True


class Connection(HttpToolsProtocol):
    """uvicorn's connection within the limits of a crowd. Its refusals are problem documents, and are not logged."""

    def __init__(self, *arguments: Any, crowd: Crowd, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._crowd = crowd
        self.address = ""
        self.surplus = False
        """Whether there were too many connections when it came: it may ask for probes."""
        self._refusal = (400, "the request is not valid HTTP")
        self._fields = self._silent = 0
        self._parsed = self._in_message = False
        self._last = self._waiting_since = time.monotonic()
        self._head_since: float | None = None
        self._answered_early: float | None = None
        self._stalled_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.address = network_of(self.client[0]) if self.client else ""
        self._crowd.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._crowd.leave(self)

    def shutdown(self) -> None:
        """The service ends: close when what has been asked is answered.

        A request that was sent and not yet read, or that a new connection is about to send, is answered too.
        """
        if self._answering or not (self.cycle is None or self._unread()):
            super().shutdown()
        else:
            self.loop.call_later(_LATE, self._close_if_waiting)

    def leave(self) -> None:
        """Close it at once, whatever it was doing."""
        self.transport.abort()

    def check(self, now: float) -> None:
        """Leave it if it has taken too long over what it is doing."""
        limits = self._crowd.limits
        if self.transport.is_closing():
            if now - self._last > _STALLED + _LINGER:  # what is left of the answer is not taken
                self.leave()
        elif self._stalled_since is not None and now - self._stalled_since > _STALLED:
            self.leave()
        elif self._answered_early is not None:
            if now - self._answered_early > _LINGER:
                self.transport.close()
        elif self._answering:
            # A body that the handler does not take yet is not the client's delay.
            if self._in_message and not self.flow.read_paused and now - self._last > limits.body:
                self._refuse(408, f"nothing of the body came for {limits.body:g} seconds")
        elif self._head_since is not None:
            if now - self._head_since > limits.head:
                self._refuse(408, f"the head of the request took longer than {limits.head:g} seconds")
        elif now - self._waiting_since > (limits.head if self.cycle is None else limits.kept):
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._last = time.monotonic()
        self._parsed = False
        try:
            super().data_received(data)
        except MemoryError:
            self._refuse(503, OutOfMemory().detail)
            return
        # A field, or the extension of a chunk, is told by the parser when it is whole.
        self._silent = 0 if self._parsed else self._silent + len(data)
        if self._silent > LARGEST_HEAD and not self.transport.is_closing():
            self._refuse(431, f"the head of a request may have {LARGEST_HEAD} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message, self._head_since, self._fields = True, self._last, 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_since = None
        if self.surplus and not self.url.startswith(_PROBES):
            self._refusal = (503, "there are too many connections; try again later")
            raise ValueError(self._refusal[1])
        self._crowd.busy(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._parsed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._parsed, self._in_message, self._answered_early = True, False, None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._in_message:
            self._answered_early = self._last = time.monotonic()
        super().on_response_complete()
        if not self._answering:
            self._waiting_since = time.monotonic()
            self._crowd.waits(self)

    def pause_writing(self) -> None:
        self._stalled_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's signature)
        error = sys.exception()  # the parser's; its context is what a callback raised
        if error is not None and error.__context__ is not None and is_shortage(error.__context__):
            self._refuse(503, OutOfMemory().detail)
        else:
            self._refuse(*self._refusal)

    def _unread(self) -> bool:
        """Whether the client has sent bytes that the event loop has not read."""
        try:
            whole = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
            with whole:
                return bool(whole.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def _close_if_waiting(self) -> None:
        if self._answering:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count(self, size: int) -> None:
        self._parsed = True
        self._fields += size
        if self._fields > LARGEST_HEAD:
            self._refusal = (431, f"the head of a request may have {LARGEST_HEAD} bytes")
            raise ValueError(self._refusal[1])

    def _refuse(self, status: int, detail: str) -> None:
        """Answer with a problem, unless an answer has begun, and close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = body_of(status, detail)
            headers = secure([(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))])
            if status == 503:
                headers.append((b"retry-after", b"1"))
            lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
            lines += [name + b": " + value for name, value in (*headers, (b"connection", b"close"))]
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()


def connection_maker(crowd: Crowd) -> Callable[..., asyncio.BaseProtocol]:
    """What uvicorn calls for each new connection."""
    block = new_block()

    def make(*arguments: Any, **options: Any) -> Inlet:
        return Inlet(Connection(*arguments, crowd=crowd, **options), block)

    return make
