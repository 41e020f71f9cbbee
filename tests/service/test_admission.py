"""The account of waiting work."""

from __future__ import annotations

import pytest

from service.admission import Admission
from service.errors import QueueFull, TooLarge


def test_a_full_queue_refuses_and_tells_when_to_come_back() -> None:
    admission = Admission(100)
    admission.admit(90)
    with pytest.raises(QueueFull) as refusal:
        admission.admit(20)
    assert refusal.value.headers == {"Retry-After": "1"}
    admission.measure(item_ticks=10, seconds=1.0)
    with pytest.raises(QueueFull) as refusal:
        admission.admit(20)
    assert refusal.value.headers == {"Retry-After": "9"}, "90 item-ticks at 10 a second"
    assert admission.waiting == 90


def test_what_no_empty_queue_would_hold_is_too_large() -> None:
    with pytest.raises(TooLarge):
        Admission(100).admit(101)


def test_a_ticket_gives_back_what_is_left_exactly_once() -> None:
    admission = Admission(100)
    with admission.admit(10) as ticket:
        ticket.resize(60)
        admission.spend([(ticket, 20)])
        assert admission.waiting == 40
        with pytest.raises(QueueFull):
            admission.admit(70)
        admission.spend([(ticket, 1000)])
        assert admission.waiting == 0
    ticket.close()
    admission.spend([(ticket, 5)])
    assert admission.waiting == 0


def test_what_a_tick_works_off_is_taken_out_of_each_ticket() -> None:
    admission = Admission(100)
    first, second = admission.admit(10), admission.admit(50)
    admission.spend([(first, 4), (second, 20)])
    assert admission.waiting == 36
    first.close()
    assert admission.waiting == 30
    second.close()
    assert (admission.waiting, admission.requests) == (0, 0)
