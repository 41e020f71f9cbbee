"""How threads share the processor."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch

from service.admission import Admission
from service.metrics import Metrics
from service.scheduler import Scheduler
from service.threads import compute_in

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


def test_a_thread_computes_in_as_many_as_it_is_told_and_the_others_as_before() -> None:
    before, found = torch.get_num_threads(), []

    def work() -> None:
        compute_in(before + 2)
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before + 2]
    assert torch.get_num_threads() == before


def test_the_devices_thread_computes_in_as_many_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = [], torch.get_num_threads() + 1  # a number that it would not take by itself
    scheduler = Scheduler(Admission(1), 1, Metrics(), threads=asked)
    monkeypatch.setattr(scheduler, "_take", lambda: found.append(torch.get_num_threads()) or [])
    scheduler.start()
    scheduler.stop()
    assert found == [asked]
