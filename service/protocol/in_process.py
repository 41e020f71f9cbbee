"""A device in a thread of this process: for tests, for commands on files, for one-process deployments."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from service.protocol import messages as m
from service.protocol.client import DeviceClient
from service.protocol.port import Port

logger = logging.getLogger("sluice")

PEER = "here"


class QueuePort(Port):
    """Both queues of the one client of a device in a thread."""

    def __init__(self, deliver: Callable[[Sequence[m.Down]], None]) -> None:
        self.inbox: SimpleQueue[list[m.Up]] = SimpleQueue()
        self._deliver = deliver

    def receive(self, wait: float) -> Sequence[tuple[str, m.Up]]:
        found: list[tuple[str, m.Up]] = []
        with suppress(Empty):
            if wait > 0:
                found += ((PEER, message) for message in self.inbox.get(timeout=wait))
            while True:
                found += ((PEER, message) for message in self.inbox.get_nowait())
        return found

    def send(self, peer: str, messages: Sequence[m.Down]) -> None:
        del peer  # there is one
        self._deliver(messages)

    def wake(self) -> None:
        self.inbox.put([])

    def close(self) -> None:
        pass


class InProcess(DeviceClient):
    """A client whose device is ``run(port)`` in a thread; ``end()`` makes that return."""

    def __init__(self, bound: int, run: Callable[[Port], None], end: Callable[[], None]) -> None:
        super().__init__(bound)
        self._run, self._end = run, end

    async def start(self) -> None:
        loop = asyncio.get_running_loop()

        def deliver(messages: Sequence[m.Down]) -> None:
            with suppress(RuntimeError):  # the loop has closed, and nobody waits any more
                loop.call_soon_threadsafe(self._receive, messages)

        self._port = QueuePort(deliver)

        def compute() -> None:
            try:
                self._run(self._port)
            except BaseException as error:
                logger.critical("the device has died", exc_info=error)
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._lost, True)

        self._thread = threading.Thread(target=compute, name="sluice-device", daemon=True)
        self._thread.start()
        self._send([m.Hello()])

    async def stop(self) -> None:
        self._end()
        self._port.wake()
        await asyncio.to_thread(self._thread.join)
        self._lost(final=True)

    def _send(self, messages: list[m.Up]) -> None:
        self._port.inbox.put(messages)
