"""The clients of ``load``: one thread, many connections. A script that imports nothing of Sluice, so it starts at once.

The first argument is the plan as JSON. It writes a line of JSON twice a second, and ends when its plan is done or its
standard input is closed.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import random
import selectors
import socket
import sys
import time
from collections import deque
from typing import Any

_MOST_BODIES = 2000
"""Different bodies of one request that are told; one more would say nothing new."""


class Tally:
    """What came back."""

    def __init__(self) -> None:
        self.count = 0
        self.statuses: dict[int, int] = {}
        self.surprises: list[tuple[str, int, str, float, float]] = []
        self.bodies: dict[str, set[str]] = {}

    def note(self, ask: Ask, status: int, said: bytes, began: float) -> None:
        self.count += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status not in ask.expected:
            text = said[:200].decode("utf-8", "replace")
            self.surprises.append((ask.name, status, text, began, time.monotonic()))
        elif status == 200:
            known = self.bodies.setdefault(ask.name, set())
            if len(known) < _MOST_BODIES:
                known.add(hashlib.sha256(said).hexdigest())

    def told(self, seconds: float, whole: bool) -> str:
        told: dict[str, Any] = {"count": self.count, "seconds": seconds}
        if whole:
            told |= {"statuses": self.statuses, "surprises": self.surprises}
            told["bodies"] = {name: sorted(found) for name, found in self.bodies.items()}
        return json.dumps(told)


class Ask:
    def __init__(self, name: str, wire: str, expected: list[int], weight: int) -> None:
        self.name, self.wire, self.expected, self.weight = name, base64.b64decode(wire), frozenset(expected), weight


class Client:
    """One connection at a time; asks the next ``depth`` requests when the ones before are answered."""

    def __init__(self, plan: dict[str, Any], asks: itertools.cycle[Ask], tally: Tally) -> None:
        self.address, self.depth, self.keep_alive = tuple(plan["address"]), plan["depth"], plan["keep_alive"]
        self.asks, self.tally = asks, tally
        self.socket: socket.socket | None = None
        self.waiting: deque[tuple[Ask, float]] = deque()
        self.buffer = b""

    def begin(self) -> bool:
        """Connect if need be and ask. False where nobody listens."""
        batch = [next(self.asks) for _ in range(self.depth if self.keep_alive else 1)]
        now = time.monotonic()
        try:
            if self.socket is None:
                self.socket = socket.create_connection(self.address, timeout=30)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self.tally.note(batch[0], 0, f"connection refused: {error}".encode(), now)
            return False
        self.waiting.extend((ask, now) for ask in batch)
        try:
            self.socket.sendall(b"".join(ask.wire for ask in batch))
        except OSError as error:
            self.cut(repr(error))
        return True

    def read(self) -> bool:
        """Take what has come; True when nothing is waited for any more."""
        assert self.socket is not None
        try:
            data = self.socket.recv(1 << 18)
        except OSError as error:
            self.cut(repr(error))
            return True
        if not data:
            self.cut("closed without an answer")
            return True
        self.buffer += data
        while self.waiting:
            head, separator, rest = self.buffer.partition(b"\r\n\r\n")
            if not separator:
                return False
            lower = head.lower()
            start = lower.find(b"\r\ncontent-length:")
            length = int(lower[start + 17 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            if len(rest) < length:
                return False
            ask, began = self.waiting.popleft()
            self.buffer = rest[length:]
            self.tally.note(ask, int(head[9:12]), rest[:length], began)
            if b"\r\nconnection: close" in lower:
                self.close()
                # What had been sent behind it was not taken: another connection asks again.
                self.waiting.clear()
        return True

    def cut(self, why: str) -> None:
        self.close()
        for ask, began in self.waiting:
            self.tally.note(ask, 0, why.encode(), began)
        self.waiting.clear()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket, self.buffer = None, b""


def main() -> None:
    plan = json.loads(sys.argv[1])
    order = [Ask(*ask) for ask in plan["asks"]]
    turns = [ask for ask in order for _ in range(ask.weight)]
    random.Random(0).shuffle(turns)
    asks, tally = itertools.cycle(turns), Tally()
    clients = [Client(plan, asks, tally) for _ in range(plan["clients"])]
    selector = selectors.DefaultSelector()
    if not plan["total"]:
        selector.register(sys.stdin, selectors.EVENT_READ, None)
    idle: list[tuple[float, int]] = [(0.0, place) for place in range(len(clients))]
    began = told = time.monotonic()
    over, busy, sent = False, 0, 0
    while not over or busy:
        now = time.monotonic()
        if now - told > 0.5:
            told = now
            tell(tally.told(now - began, whole=False))
        over = over or bool(plan["total"] and sent >= plan["total"])
        later = []
        for when, place in idle:
            if over:
                continue
            if when > now:
                later.append((when, place))
                continue
            client = clients[place]
            sent += plan["depth"] if plan["keep_alive"] else 1
            if client.begin() and client.socket is not None:
                selector.register(client.socket, selectors.EVENT_READ, place)
                busy += 1
            else:
                later.append((now + 0.02, place))
        idle = later
        soonest = min((when for when, _ in idle), default=now + 0.5)
        for key, _ in selector.select(max(0.0, min(0.5, soonest - now))):
            if key.data is None:
                over = over or not os.read(sys.stdin.fileno(), 1)
                continue
            client = clients[key.data]
            assert client.socket is not None
            registered = client.socket
            if client.read():
                selector.unregister(registered)
                busy -= 1
                if not plan["keep_alive"]:
                    client.close()
                idle.append((time.monotonic() + plan["pause"], key.data))
    tell(tally.told(time.monotonic() - began, whole=True))


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
