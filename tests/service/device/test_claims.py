"""Claims of tasks that no device holds yet."""

from __future__ import annotations

import time

import pytest

from service.device.claims import Claims


def test_the_device_that_was_named_first_gets_the_task() -> None:
    found = Claims()
    assert [found.settle("one", device) for device in "aab"] == ["a", "a", "a"]
    assert found.settle("two", "b") == "b"


def test_a_claim_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    found = Claims()
    found.settle("one", "a")
    now += 59
    assert found.settle("one", "b") == "a"
    now += 2
    assert found.settle("one", "b") == "b"
