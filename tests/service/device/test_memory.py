"""Memory: how much there is, and what the collector passes over."""

from __future__ import annotations

import gc
import os
from pathlib import Path

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


@pytest.mark.parametrize(("content", "expected"), [("1000\n", 1000), ("max\n", None), (None, None)])
def test_the_limit_of_a_container_is_all_the_memory_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, expected: int | None
) -> None:
    file = tmp_path / "memory.max"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr(memory, "_CGROUP_LIMIT", file)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cpu = torch.device("cpu")
    assert memory.total_bytes(cpu) == (machine if expected is None else expected)
    assert 0 < memory.used_bytes(cpu) < machine
