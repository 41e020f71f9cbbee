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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_libraries_tell_in_words_that_memory_did_not_suffice(error: Exception, expected: bool) -> None:
    assert memory.out_of_memory(error) is expected


def test_on_a_gpu_all_that_anybody_took_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3000, 10_000))
    assert memory.used_bytes(torch.device("cuda:0")) == 7000
