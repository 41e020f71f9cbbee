"""The account of each API key: its jobs at once, and its item-ticks in a minute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.device.account import Account, Holding
from service.protocol.errors import KeyLimit
from service.protocol.tenants import Tenant

_MINUTE = 60.0


@dataclass(slots=True)
class _State:
    """``balance`` item-ticks may be begun at the moment ``since``; below 0, the key waits until it is paid off."""

    balance: float
    since: float = field(default_factory=time.monotonic)
    jobs: int = 0


class Tenants:
    """Belongs to the device's loop, which sees the work of all api processes."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._states: dict[str, _State] = {}

    def open(self, tenant: Tenant | None, cost: int) -> Holding:
        """The item-ticks of a job that has just come. Raises KeyLimit.

        A job is begun while the key has any item-ticks left, and may overdraw them: what it costs is then paid off
        before the next. Otherwise a job that costs more than a minute's item-ticks could never run.
        """
        if tenant is None:
            return self._account.open(cost)
        now, rate = time.monotonic(), tenant.item_ticks_per_minute
        state = self._states.setdefault(tenant.name, _State(float(rate or 0)))
        if tenant.concurrent is not None and state.jobs >= tenant.concurrent:
            raise KeyLimit(f"the key {tenant.name} may have {tenant.concurrent} requests at once", 1)
        if rate is not None:
            state.balance = min(state.balance + (now - state.since) * rate / _MINUTE, float(rate))
            state.since = now
            if state.balance <= 0:
                wait = math.ceil((1 - state.balance) * _MINUTE / rate)
                raise KeyLimit(f"the key {tenant.name} may use {rate} item-ticks a minute", wait)
            state.balance -= cost
        state.jobs += 1

        def closed() -> None:
            state.jobs -= 1

        self._account.waiting += cost
        self._account.jobs += cost > 0
        return _TenantHolding(self._account, cost, closed)


class _TenantHolding(Holding):
    """A holding that tells of its end."""

    __slots__ = ("_closed",)

    def __init__(self, account: Account, cost: int, closed: Callable[[], None]) -> None:
        super().__init__(account, cost)
        self._closed: Callable[[], None] | None = closed

    def close(self) -> None:
        super().close()
        if self._closed is not None:
            self._closed()
            self._closed = None
