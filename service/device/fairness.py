"""Turns between API keys: whose rows a tick takes, and how long it may last while several keys ask.

Where there are no keys, an address counts as one. While one alone asks, all of this leaves the batches as they are.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from service.device.jobs import Piece, Slice
from service.protocol.tenants import is_address

_ACTIVE = 1.0
"""Seconds for which a key counts as asking after its latest request: a client that waits for answers pauses between."""
_LEAST_ROWS = 8
"""Rows that a tick may always have: fewer would take hardly less time."""
_TOLERANCE = 1.2
"""How much longer than the lightest key's own ticks a tick may last. A request waits for the running tick and its own,
so that this keeps its latency near twice what it is alone."""
_TURNS = 4
"""Turns of each key in a tick that is full: more would be fairer, and every piece costs time."""
_MOST_PROGRAMS = 256
_MOST_TENANTS = 1024
"""Tenants from which those that wait for nothing are forgotten."""
_MOST_ADDRESSES = 64
"""Addresses that are watched at once for the length of ticks."""
_FEW_ADDRESSES = 8
"""Addresses up to which ticks are short while several ask: the shortest tick has a row for each.

Of very many, each would wait through more ticks than it gains by shorter ones.
"""
_MEMORY = 0.8
"""Weight of the past in a measured time."""


class FairQueue:
    """Pieces of one program. The key that has had fewest rows is next, and within a key the piece that came first.

    A key that comes, or comes back, starts with the rows of the one that has had fewest, so that none saves up turns.
    Of keys that have had the same, the one whose latest turn is longest ago is next: a flood has been in every tick, a
    client that waits for its answers has not.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Piece]] = {}
        self._had: Counter[str] = Counter()
        self._latest: dict[str, int] = {}
        """The number of each key's latest turn; of a new key, of the one before it came."""
        self._turns = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __iter__(self) -> Iterator[Piece]:
        for lane in self._lanes.values():
            yield from lane

    @property
    def first(self) -> Piece:
        """The piece that ``popleft`` would take."""
        return self._lanes[self._next()][0]

    def extend(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self._lane(piece.job.tenant).append(piece)

    def popleft(self) -> Piece:
        tenant = self._next()
        lane = self._lanes[tenant]
        piece = lane.popleft()
        self._had[tenant] += len(piece)
        self._turns += 1
        self._latest[tenant] = self._turns
        if not lane:
            del self._lanes[tenant]
        return piece

    def appendleft(self, piece: Piece) -> None:
        """Give back a piece, or the part of one, that was not taken after all."""
        tenant = piece.job.tenant
        if tenant not in self._lanes:
            self._lanes[tenant] = deque()
        self._lanes[tenant].appendleft(piece)
        self._had[tenant] -= len(piece)

    @property
    def contended(self) -> bool:
        """Whether pieces of several keys wait."""
        return len(self._lanes) > 1

    def share(self, room: int) -> int:
        """Rows of one turn in a tick with room for so many. A longer piece is cut, so that other keys are in it too."""
        waiting = 0
        for piece in self:
            waiting += len(piece)
            if waiting > room:
                return max(room // (_TURNS * len(self._lanes)), 1)
        return room

    def _next(self) -> str:
        if not self.contended:
            return next(iter(self._lanes))
        return min(self._lanes, key=lambda tenant: (self._had[tenant], self._latest[tenant]))

    def _lane(self, tenant: str) -> deque[Piece]:
        lane = self._lanes.get(tenant)
        if lane is None:
            least = min((self._had[other] for other in self._lanes), default=0)
            lane = self._lanes[tenant] = deque()
            had = max(self._had[tenant], least)
            if len(self._had) > _MOST_TENANTS:
                self._had = Counter({other: self._had[other] for other in self._lanes})
                self._latest = {other: self._latest[other] for other in self._lanes}
            self._had[tenant] = had
            self._latest.setdefault(tenant, self._turns)
        return lane


@dataclass(slots=True)
class _Key:
    """What is known of one key: when it last asked, and the seconds of a tick that had its rows alone."""

    seen: float
    brief: float
    """When it last asked for work of one tick, or had such a tick."""
    address: bool
    """Whether it is an address, in the place of a key."""
    seconds: float | None = None


class TickLengths:
    """Bounds the rows of a tick while several keys ask, so that a flood of one does not lengthen another's ticks."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._times: dict[Hashable, dict[int, float]] = {}
        """Seconds of a tick by program and by rows, rounded up to a power of two."""

    @property
    def contended(self) -> bool:
        """Whether several keys ask."""
        return len(self._keys) > 1 and len(self._asking()) > 1

    def asked_beside(self, tenants: Set[str]) -> bool:
        """Whether a key that has asked for work of one tick lately waits for rows of others among these keys."""
        now = time.monotonic()
        return any(now - key.brief < _ACTIVE and tenants - {name} for name, key in self._keys.items())

    def came(self, tenant: str, brief: bool) -> None:
        """A key has sent a request, ``brief`` if for work of one tick.

        What the service asks of itself has no name, and is nobody's.
        """
        if tenant:
            self._saw(self._key(tenant), brief)

    def most_rows(self, program: Hashable, room: int) -> int:
        """Rows that a tick of a program may have, at most ``room``."""
        if len(self._keys) < 2:
            return room
        asking = self._asking()
        lightest = min((key.seconds for key in asking if key.seconds is not None), default=None)
        if len(asking) < 2 or lightest is None or sum(key.address for key in asking) > _FEW_ADDRESSES:
            return room
        times = self._times.get(program, {})
        rows = max((size for size, seconds in times.items() if seconds <= _TOLERANCE * lightest), default=_LEAST_ROWS)
        if 2 * rows not in times:  # nobody knows how long a larger one takes: find out
            rows *= 2
        return min(max(rows, _LEAST_ROWS), room)

    def took(self, program: Hashable, pieces: Sequence[Piece], seconds: float) -> None:
        """Learn from a tick."""
        own: Counter[str] = Counter()
        for piece in pieces:
            own[piece.job.tenant] += len(piece)
        if len(self._times) > _MOST_PROGRAMS:  # of versions that are served no longer
            self._times.clear()
        times = self._times.setdefault(program, {})
        size = _size(own.total())
        times[size] = _mean(times.get(size), seconds)
        for tenant, rows in own.items():
            if not tenant:
                continue
            key = self._key(tenant)
            # A tick of a key's own rows may never have been measured. It lasts no longer than any with more rows.
            alone = min(length for size, length in times.items() if size >= _size(rows))
            key.seconds = _mean(key.seconds, alone)
            self._saw(key, isinstance(pieces[0], Slice))

    def _asking(self) -> list[_Key]:
        now = time.monotonic()
        return [key for key in self._keys.values() if now - key.seen < _ACTIVE]

    @staticmethod
    def _saw(key: _Key, brief: bool) -> None:
        key.seen = time.monotonic()
        if brief:
            key.brief = key.seen

    def _key(self, tenant: str) -> _Key:
        found = self._keys.get(tenant)
        if found is None:
            found = _Key(time.monotonic(), -math.inf, is_address(tenant))
            if not found.address or self._has_room(found.seen):
                self._keys[tenant] = found
        return found

    def _has_room(self, now: float) -> bool:
        """Whether one more address can be watched, once those that no longer ask are forgotten."""
        if len(self._keys) >= _MOST_ADDRESSES:
            self._keys = {name: key for name, key in self._keys.items() if not key.address or now - key.seen < _ACTIVE}
        return len(self._keys) < _MOST_ADDRESSES


def _size(rows: int) -> int:
    return 1 << (rows - 1).bit_length()


def _mean(before: float | None, now: float) -> float:
    return now if before is None else _MEMORY * before + (1 - _MEMORY) * now
