"""Clients that take their answers a few bytes at a time, and clients that leave at a bad moment."""

from __future__ import annotations

import random
import socket
import struct
import time
from contextlib import suppress

from tests.reliability import figures, raw
from tests.reliability.load import Ask
from tests.service.servers import Server

_SIP = 256
"""Bytes that a slow reader takes at once."""


def read_slowly(server: Server, asks: list[Ask], seconds: float) -> int:
    """Ask on as many connections, take a few bytes of each now and then, and leave. How many answers had begun."""
    sockets = []
    for ask in asks:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(30)
        host, _, port = server.address.removeprefix("http://").partition(":")
        one.connect((host, int(port)))
        one.sendall(ask.on_the_wire(keep_alive=False))
        one.setblocking(False)
        sockets.append(one)
    figures.current().sent(len(sockets))
    begun: set[int] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for place, one in enumerate(sockets):
            with suppress(BlockingIOError, ConnectionError):
                if one.recv(_SIP):
                    begun.add(place)
        time.sleep(0.05)
    for one in sockets:
        one.close()
    return len(begun)


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
