"""HTTP by hand: clients that send half of a request, or a byte at a time, from an address of their choice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.reliability import figures
from tests.service.servers import Server


def connected(server: Server, source: str = "127.0.0.1") -> socket.socket:
    """A connection from an address of this machine: on Linux, all of 127.0.0.0/8 are."""
    host, _, port = server.address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30, source_address=(source, 0))


@contextmanager
def crowd(server: Server, count: int, begin: bytes, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Connections that have each sent ``begin``."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(connected(server, source)) for _ in range(count)]
        figures.current().injected(count)
        for one in sockets:
            with suppress(OSError):
                one.sendall(begin)
        yield sockets


def answer(one: socket.socket) -> bytes:
    """All that comes until the other side closes; what came before a reset."""
    found = b""
    with suppress(ConnectionError):
        while more := one.recv(65536):
            found += more
    return found


def status(text: bytes) -> int:
    """The status of an answer; 0 where there is none."""
    return int(text.split(b" ", 2)[1]) if text.startswith(b"HTTP/1.1 ") else 0


def asked(server: Server, text: bytes, source: str = "127.0.0.1") -> bytes:
    """What comes back for some bytes, sent as far as the other side takes them."""
    figures.current().sent()
    with connected(server, source) as one:
        with suppress(ConnectionError):
            one.sendall(text)
        return answer(one)


def get(server: Server, path: str, source: str = "127.0.0.1") -> int:
    """The status of a GET on a connection of its own."""
    return status(asked(server, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode(), source))
