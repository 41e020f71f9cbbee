"""Clients that take their answers a few bytes at a time, and clients that leave at a bad moment."""

from __future__ import annotations

import random
import socket
import struct
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from tests.reliability import figures, raw
from tests.reliability.load import Ask
from tests.service.servers import Server

_SIP = 256
"""Bytes that a slow reader takes at once."""
_START = 4096
"""Bytes of an answer that are kept: its head, and the beginning of its body."""


_PATIENCE = 60.0
"""Seconds within which every answer has begun: the service gives a request up after as many."""


@dataclass
class SlowAnswer:
    """What one slow reader has got: the beginning of its answer, and how many bytes of it in all."""

    ask: Ask
    start: bytes = b""
    count: int = 0

    @property
    def status(self) -> int:
        return raw.status(self.start)

    @property
    def begun(self) -> bool:
        """Whether the beginning of an array or of an event has come; comments keep a stream alive and say nothing."""
        return b"\x93NUMPY" in self.start or b"event: " in self.start


def read_slowly(server: Server, asks: list[Ask], seconds: float) -> list[SlowAnswer]:
    """Ask on as many connections, take a few bytes of each now and then, and leave. What each had got by then.

    Nobody leaves before ``seconds`` are over, and before each has got an answer's first bytes if that happens at all.
    """
    with ExitStack() as stack:
        sockets = []
        for ask in asks:
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.settimeout(30)
            host, _, port = server.address.removeprefix("http://").partition(":")
            one.connect((host, int(port)))
            one.sendall(ask.on_the_wire(keep_alive=False))
            one.setblocking(False)
            sockets.append(one)
        figures.current().sent(len(sockets))
        answers = [SlowAnswer(ask) for ask in asks]
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds or (
            now < _PATIENCE and not all(answer.begun for answer in answers)
        ):
            for answer, one in zip(answers, sockets, strict=True):
                with suppress(BlockingIOError, ConnectionError):
                    sip = one.recv(_SIP)
                    answer.count += len(sip)
                    answer.start = (answer.start + sip)[:_START]
            time.sleep(0.05)
    return answers


def leave(server: Server, asks: list[Ask], count: int, moments: random.Random) -> None:
    """Clients that go away: before the head is whole, within the body, while their answer is made, or by a reset."""
    for number in range(count):
        wire = moments.choice(asks).on_the_wire(keep_alive=True)
        with suppress(OSError), raw.connected(server) as one:
            whole = number % 4 >= 2
            one.sendall(wire if whole else wire[: moments.randrange(1, len(wire))])
            if whole:
                time.sleep(moments.uniform(0, 0.03))
            if number % 4 == 3:  # a reset in the place of an orderly end
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    figures.current().sent(count)
