"""How threads share the processor."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_COUNT = """
import os, torch
before = set(os.listdir("/proc/self/task"))
import service.app, service.server
print(len(set(os.listdir("/proc/self/task")) - before))
"""


@pytest.mark.skipif(sys.platform != "linux" or (os.cpu_count() or 1) < 2, reason="threads are counted as Linux does")
def test_importing_the_service_computes_nothing_in_parallel() -> None:
    # Its workers would stay, be more than there are cores beside those of the device's thread, and slow each kernel.
    started = subprocess.run([sys.executable, "-c", _COUNT], capture_output=True, text=True, check=True, timeout=120)
    assert int(started.stdout) == 0
