"""The account of the work that waits in the device."""

from __future__ import annotations

import pytest

from service.device.account import Account


def test_a_holding_gives_back_what_is_left_exactly_once() -> None:
    account = Account()
    holding = account.open(60)
    holding.spend(20)
    assert account.waiting == 40
    holding.spend(1000)
    assert account.waiting == 0
    holding.close()
    holding.close()
    holding.spend(5)
    assert (account.waiting, account.jobs) == (0, 0)


def test_each_job_holds_its_own_share() -> None:
    account = Account()
    first, second = account.open(10), account.open(50)
    first.spend(4)
    second.spend(20)
    assert account.waiting == 36
    first.close()
    assert account.waiting == 30
    second.close()
    assert (account.waiting, account.jobs) == (0, 0)


def test_the_pace_follows_the_latest_ticks() -> None:
    account = Account()
    assert account.pace is None
    account.measure(item_ticks=10, seconds=1.0)
    assert account.pace == 10
    for _ in range(50):
        account.measure(item_ticks=40, seconds=2.0)
    assert account.pace == pytest.approx(20, rel=0.01)
    account.measure(item_ticks=1, seconds=0.0)
    assert account.pace is not None
    assert account.pace > 20


def test_a_warm_up_is_no_request() -> None:
    account = Account()
    warm_up, request = account.open(0), account.open(5)
    assert (account.waiting, account.jobs) == (5, 1)
    warm_up.spend(8)
    warm_up.close()
    assert (account.waiting, account.jobs) == (5, 1)
    request.close()
    assert (account.waiting, account.jobs) == (0, 0)
