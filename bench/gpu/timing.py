"""Timing work on a device that computes behind the processor's back."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch


def wait_for(device: torch.device) -> None:
    """Return when the device has computed all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], Any], device: torch.device, *, budget: float = 0.3, rounds: int = 5) -> float:
    """The median time of one call, over rounds of as many calls as fit into the budget of seconds."""
    began = time.perf_counter()
    work()
    wait_for(device)
    calls = max(1, min(200, int(budget / rounds / max(time.perf_counter() - began, 1e-6))))
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        wait_for(device)
        found.append((time.perf_counter() - began) / calls)
    return median(found)
