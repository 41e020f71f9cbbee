"""The account of each API key: its jobs at once, and its item-ticks in a minute."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from service.device import tenants
from service.device.account import Account
from service.device.tenants import Tenants
from service.protocol.errors import KeyLimit
from service.protocol.tenants import Tenant


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(tenants, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def test_jobs_at_once_are_bounded_and_an_end_makes_room_once() -> None:
    account = Account()
    held, two = Tenants(account, 10**6), Tenant("a", concurrent=2)
    first, _ = held.open(two, 5), held.open(two, 5)
    assert (account.waiting, account.jobs) == (10, 2)
    with pytest.raises(KeyLimit, match="2 requests at once"):
        held.open(two, 5)
    held.open(Tenant("b", concurrent=1), 1)
    held.open(None, 1)
    first.close()
    first.close()
    held.open(two, 5)
    with pytest.raises(KeyLimit):
        held.open(two, 5)


def test_item_ticks_may_be_overdrawn_once_and_are_paid_off(clock: SimpleNamespace) -> None:
    held, tenant = Tenants(Account(), 10**6), Tenant("a", item_ticks_per_minute=60)
    held.open(tenant, 50)
    held.open(tenant, 100)  # 10 were left
    with pytest.raises(KeyLimit, match="60 item-ticks a minute") as caught:
        held.open(tenant, 1)
    assert caught.value.retry_after is not None
    clock.now += 89
    with pytest.raises(KeyLimit):
        held.open(tenant, 1)
    clock.now = 100 + caught.value.retry_after
    held.open(tenant, 1)


def test_a_pause_saves_no_more_than_a_minute(clock: SimpleNamespace) -> None:
    held, tenant = Tenants(Account(), 10**6), Tenant("a", item_ticks_per_minute=60)
    held.open(tenant, 1)
    clock.now += 3600
    held.open(tenant, 60)
    with pytest.raises(KeyLimit):
        held.open(tenant, 1)


def test_a_key_leaves_half_of_the_queue_to_others() -> None:
    account = Account()
    held, greedy = Tenants(account, 100), Tenant("greedy")
    first = held.open(greedy, 80)  # what an empty queue holds is taken
    with pytest.raises(KeyLimit, match="half of the queue"):
        held.open(greedy, 1)
    held.open(Tenant("modest"), 20)
    first.spend(50)
    held.open(greedy, 20)
    with pytest.raises(KeyLimit):
        held.open(greedy, 1)
    first.spend(1000)
    first.close()
    assert account.waiting == 40
    held.open(greedy, 30)
