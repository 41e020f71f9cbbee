"""Memory: how much there is, and what the collector passes over."""

from __future__ import annotations

import gc
import os

import pytest
import torch

from service.device import memory


def test_what_is_settled_is_passed_over_and_what_nobody_needs_is_let_go() -> None:
    class Ring:
        freed = False

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Ring.freed = True

    Ring()
    try:
        memory.settle()
        assert Ring.freed
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(("limit", "expected"), [(1000, 1000), (None, None)])
def test_the_limit_of_a_container_is_all_the_memory_there_is(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, expected: int | None
) -> None:
    monkeypatch.setattr("service.control_group.ControlGroup.memory", lambda _: limit)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cpu = torch.device("cpu")
    assert memory.total_bytes(cpu) == (machine if expected is None else expected)
    assert 0 < memory.used_bytes(cpu) < machine
