"""Both ends of the connection between processes: ZeroMQ over a Unix socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from service.protocol import codec
from service.protocol import messages as m
from service.protocol.client import DeviceClient
from service.protocol.errors import is_shortage
from service.protocol.port import Port

_RECONNECT_MS = 50
_WAKE = "inproc://sluice-wake"
_SOON = 0.1
"""Seconds after which a greeting is tried again for which there was no memory."""


class SocketClient(DeviceClient):
    """A client of the device behind an endpoint (`ipc://…`). It connects again whenever the device has died."""

    def __init__(self, bound: int, endpoint: str, peer: str | None = None, name: str = "device") -> None:
        super().__init__(bound, name)
        self._endpoint, self._peer = endpoint, peer or f"api-{os.getpid()}"
        self._codec = codec.of_api()

    async def start(self) -> None:
        _begin_sending()
        self._context = zmq.Context()
        self._socket = socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, self._peer.encode())
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, 0)  # what may wait is bounded by admission
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # what was meant for a dead device is not kept for its successor
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self._monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        loop = asyncio.get_running_loop()
        loop.add_reader(_descriptor(self._monitor), self._watch)
        loop.add_reader(_descriptor(socket), self._drain)
        socket.connect(self._endpoint)
        self._watch()

    async def stop(self) -> None:
        self._lost(final=True)
        loop = asyncio.get_running_loop()
        for socket in (self._socket, self._monitor):
            loop.remove_reader(_descriptor(socket))
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()

    def _send(self, messages: list[m.Up]) -> None:
        with suppress(zmq.Again):  # the device has just died; the monitor tells it to whoever waits
            self._socket.send_multipart(_parcel(self._codec.encode(messages)), zmq.NOBLOCK, copy=False)
        # Sending uses up the edge that says that something can be read.
        self._drain()

    def _drain(self) -> None:
        while _readable(self._socket):
            try:
                self._receive(self._codec.decode(_frames(self._socket)))
            except Exception as error:
                if not is_shortage(error):
                    raise
                self._missed()

    def _watch(self) -> None:
        while _readable(self._monitor):
            event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
            if event == zmq.EVENT_DISCONNECTED:
                self._lost()
            else:
                self._greet()

    def _greet(self) -> None:
        try:
            self._send([m.Hello()])
        except Exception as error:
            if not is_shortage(error):
                raise
            asyncio.get_running_loop().call_later(_SOON, self._greet)  # without it no model would ever be known here


class SocketPort(Port):
    """The device's end: bound to an endpoint, any number of clients."""

    def __init__(self, endpoint: str) -> None:
        self._codec = codec.of_device()
        _begin_sending()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.bind(endpoint)
        self._inner = self._context.socket(zmq.PULL)
        self._inner.bind(_WAKE)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._inner, zmq.POLLIN)

    def receive(self, wait: float) -> Sequence[tuple[str, m.Up]]:
        if wait > 0 and not _readable(self._socket):
            self._poller.poll(int(1000 * wait))
            with suppress(zmq.Again):
                while True:
                    self._inner.recv(zmq.NOBLOCK)
        found: list[tuple[str, m.Up]] = []
        while _readable(self._socket):
            peer = bytes(self._socket.recv()).decode()
            try:
                found += ((peer, message) for message in self._codec.decode(_frames(self._socket)))
            except Exception as error:
                if not is_shortage(error):
                    raise
                self.send(peer, [m.Missed()])
        return found

    def send(self, peer: str, messages: Sequence[m.Down]) -> None:
        self._socket.send_multipart(_parcel([peer.encode(), *self._codec.encode(messages)]), copy=False)

    def wake(self) -> None:
        with self._context.socket(zmq.PUSH) as socket:
            socket.connect(_WAKE)
            socket.send(b"")

    def close(self) -> None:
        self._inner.close(0)
        self._socket.close()
        self._context.term()


def _readable(socket: zmq.Socket[Any]) -> bool:
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def _descriptor(socket: zmq.Socket[Any]) -> int:
    return int(socket.getsockopt(zmq.FD))


def _begin_sending() -> None:
    """Start the thread in which pyzmq lets go of what was sent without a copy. It needs memory, so it starts early."""
    zmq.Frame(b"any", copy=False)


def _parcel(parts: Sequence[codec.Frame]) -> list[zmq.Frame]:
    """The parts of one message, ready to be sent; large ones without a copy.

    All are made before the first is sent. Where there is no memory for one, nothing has been sent: after half of a
    message, the next one would be read as its rest.
    """
    return [zmq.Frame(part) for part in parts]


def _frames(socket: zmq.Socket[Any]) -> list[Any]:
    """The frames of one message; large ones without a copy. A message for which there is no memory is read and lost."""
    try:
        frames: list[Any] = [socket.recv()]
        while socket.getsockopt(zmq.RCVMORE):
            frames.append(socket.recv(copy=False).buffer)
        return frames
    except MemoryError:
        while socket.getsockopt(zmq.RCVMORE):
            socket.recv(copy=False)
        raise
