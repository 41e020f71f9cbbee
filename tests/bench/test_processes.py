"""Memory and time of processes are those that Linux counts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from bench.side_by_side.processes import (
    cpu_seconds,
    cpu_seconds_below,
    cpu_seconds_of_thread,
    resident_bytes,
)

BUSY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"


def test_a_process_has_memory() -> None:
    assert 10**6 < resident_bytes(os.getpid()) < 10**12


def test_time_of_grandchildren_counts() -> None:
    before = cpu_seconds_below(os.getpid())
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as child:
        try:
            give_up = time.monotonic() + 60
            while cpu_seconds_below(os.getpid()) - before < 0.5 and time.monotonic() < give_up:
                time.sleep(0.05)
            assert 0.5 <= cpu_seconds_below(os.getpid()) - before < 60
        finally:
            os.killpg(child.pid, 9)


def test_time_of_a_thread_is_part_of_its_process() -> None:
    process = os.getpid()
    began, until = cpu_seconds_of_thread(process, process), time.monotonic() + 60

    def busy() -> None:
        before = cpu_seconds(process)
        while cpu_seconds(process) - before < 0.5 and time.monotonic() < until:
            sum(range(10**5))

    beside = threading.Thread(target=busy)
    all_before = cpu_seconds(process)
    beside.start()
    beside.join()
    assert cpu_seconds(process) - all_before >= 0.5
    assert cpu_seconds_of_thread(process, process) - began < 0.25, "the first thread has only waited"
