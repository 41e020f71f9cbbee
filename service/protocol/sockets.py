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
from service.protocol.port import Port

_RECONNECT_MS = 50
_WAKE = "inproc://sluice-wake"


class SocketClient(DeviceClient):
    """A client of the device behind an endpoint (`ipc://…`). It connects again whenever the device has died."""

    def __init__(self, bound: int, endpoint: str, peer: str | None = None, name: str = "device") -> None:
        super().__init__(bound, name)
        self._endpoint, self._peer = endpoint, peer or f"api-{os.getpid()}"
        self._codec = codec.of_api()

    async def start(self) -> None:
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
            self._socket.send_multipart(self._codec.encode(messages), zmq.NOBLOCK, copy=False)
        # Sending uses up the edge that says that something can be read.
        self._drain()

    def _drain(self) -> None:
        while _readable(self._socket):
            self._receive(self._codec.decode(_frames(self._socket)))

    def _watch(self) -> None:
        while _readable(self._monitor):
            event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
            if event == zmq.EVENT_DISCONNECTED:
                self._lost()
            else:
                self._send([m.Hello()])


class SocketPort(Port):
    """The device's end: bound to an endpoint, any number of clients."""

    def __init__(self, endpoint: str) -> None:
        self._codec = codec.of_device()
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
            found += ((peer, message) for message in self._codec.decode(_frames(self._socket)))
        return found

    def send(self, peer: str, messages: Sequence[m.Down]) -> None:
        self._socket.send_multipart([peer.encode(), *self._codec.encode(messages)], copy=False)

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


def _frames(socket: zmq.Socket[Any]) -> list[Any]:
    """The frames of one message; large ones without a copy."""
    frames: list[Any] = [socket.recv()]
    while socket.getsockopt(zmq.RCVMORE):
        frames.append(socket.recv(copy=False).buffer)
    return frames
