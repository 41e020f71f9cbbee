"""The account of each API key: its jobs at once, its item-ticks in a minute, and its share of the queue.

Where there are no keys, each address has an account, which has a share alone.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from service.device.account import Account, Holding
from service.protocol.errors import KeyLimit
from service.protocol.tenants import Tenant, is_address

_MINUTE = 60.0
_MOST = 1024
"""Accounts from which those that hold nothing are forgotten."""


@dataclass(slots=True)
class _State:
    """``balance`` item-ticks may be begun at the moment ``since``; below 0, the key waits until it is paid off."""

    rate: int | None
    balance: float
    since: float
    jobs: int = 0
    waiting: int = 0
    """Item-ticks of its jobs that are not done."""


class Tenants:
    """Belongs to the device's loop, which sees the work of all api processes. ``bound`` is that of the queue."""

    def __init__(self, account: Account, bound: int) -> None:
        self._account, self._bound = account, bound
        self._states: dict[str, _State] = {}

    def open(self, tenant: Tenant | None, cost: int) -> Holding:
        """The item-ticks of a job that has just come. Raises KeyLimit.

        A job is begun while the key has any item-ticks left, and may overdraw them: what it costs is then paid off
        before the next. Otherwise a job that costs more than a minute's item-ticks could never run. A key that has
        work already gets no more than half of the queue, so that another one finds room; so does an address.
        """
        if tenant is None:
            return self._account.open(cost)
        state = self._state(tenant)
        if tenant.concurrent is not None and state.jobs >= tenant.concurrent:
            raise KeyLimit(f"the key {tenant.name} may have {tenant.concurrent} requests at once", 1)
        if state.waiting and state.waiting + cost > self._bound / 2:
            who = "this client" if is_address(tenant.name) else f"the key {tenant.name}"
            raise KeyLimit(f"{who} fills half of the queue", self._account.retry_after())
        if tenant.item_ticks_per_minute is not None:
            _draw(tenant.name, tenant.item_ticks_per_minute, state, cost)
        return _TenantHolding(self._account, cost, state)

    def _state(self, tenant: Tenant) -> _State:
        now, rate = time.monotonic(), tenant.item_ticks_per_minute
        if len(self._states) > _MOST:
            self._states = {name: one for name, one in self._states.items() if one.jobs or one.rate is not None}
        state = self._states.setdefault(tenant.name, _State(None, 0.0, now))
        if rate is not None and state.rate != rate:  # a new key, or one that was made anew with another limit
            state.rate, state.balance, state.since = rate, float(rate), now
        return state


def _draw(name: str, rate: int, state: _State, cost: int) -> None:
    now = time.monotonic()
    state.balance = min(state.balance + (now - state.since) * rate / _MINUTE, float(rate))
    state.since = now
    if state.balance <= 0:
        wait = math.ceil((1 - state.balance) * _MINUTE / rate)
        raise KeyLimit(f"the key {name} may use {rate} item-ticks a minute", wait)
    state.balance -= cost


class _TenantHolding(Holding):
    """A holding that its key's account follows."""

    __slots__ = ("_closed", "_state")

    def __init__(self, account: Account, cost: int, state: _State) -> None:
        super().__init__(account, cost)
        account.waiting += cost
        account.jobs += cost > 0
        state.jobs += 1
        state.waiting += cost
        self._state, self._closed = state, False

    def spend(self, item_ticks: int) -> None:
        before = self._left
        super().spend(item_ticks)
        self._state.waiting -= before - self._left

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._state.jobs -= 1
            self._state.waiting -= self._left
        super().close()
