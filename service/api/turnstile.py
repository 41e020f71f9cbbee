"""Turns between clients in an api process: whose request is begun next while several ask.

What an api process does for a request takes longer than a tick of a small model. Without turns, one request of a client
would wait behind all those of another that has sent many.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

_ACTIVE = 1.0
"""Seconds for which a client counts as asking after its latest request."""


class Turnstile:
    """Begins one request in each pass of the event loop, of clients in turns, while several ask.

    Belongs to one event loop. While one client asks alone, its requests pass without a wait.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._name, self._at, self._until = "", 0.0, 0.0

    async def enter(self, name: str) -> None:
        """Wait for the turn of the client of this name."""
        now = time.monotonic()
        if name != self._name:
            if now - self._at < _ACTIVE:
                self._until = now + _ACTIVE
            self._name = name
        self._at = now
        if now >= self._until and not self._waiting:
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._admit)
        self._waiting.setdefault(name, deque()).append(turn)
        await turn

    def _admit(self) -> None:
        """Let the first request of the next client begin, and go on in the next pass."""
        while self._waiting:
            name, lane = next(iter(self._waiting.items()))
            turn = lane.popleft()
            del self._waiting[name]
            if lane:
                self._waiting[name] = lane  # behind the others
            if not turn.done():  # one that is done was given up
                turn.set_result(None)
                break
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._admit)
