"""How many CPUs this process may really use: its affinity, the quota of its control group, and its share of these."""

from __future__ import annotations

import math
import os

from service.control_group import ControlGroup


def usable_cpus() -> int:
    """At least 1. torch and most tools count the machine's cores instead, which a quota makes wrong."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = ControlGroup().cpus()
    return affinity if quota is None else max(min(affinity, math.floor(quota + 0.5)), 1)


def share_of_cpus(processes: int) -> int:
    """CPUs for each of several processes that compute side by side: at least 1.

    Threads of two device processes on the same CPUs would wait for each other by spinning (``device/threads.py``).
    """
    return max(usable_cpus() // processes, 1)
