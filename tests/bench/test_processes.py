"""Memory and CPU time of processes are those that Linux counts."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench.side_by_side import processes

BUSY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"

ROLLUP = """00400000-7fff0000 ---p 00000000 00:00 0                          [rollup]
Rss:                1000 kB
Pss:                 700 kB
Pss_Dirty:           600 kB
"""
SMAPS = """7f0000000000-7f0000100000 r-xp 00001000 08:01 4711                       /usr/lib/a library.so
Size:               1024 kB
Shared_Clean:        100 kB
Shared_Dirty:          2 kB
Private_Clean:        10 kB
Private_Dirty:         5 kB
VmFlags: rd ex mr mw me
7f0000200000-7f0000300000 rw-p 00000000 00:00 0
Shared_Clean:          0 kB
Shared_Dirty:          0 kB
Private_Clean:         0 kB
Private_Dirty:        64 kB
VmFlags: rd wr mr mw me ac
"""


def test_the_tree_begins_with_its_root_and_holds_grandchildren() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as child:
        try:
            give_up = time.monotonic() + 60
            while len(processes.tree(child.pid)) < 2 and time.monotonic() < give_up:
                time.sleep(0.05)
            below = processes.tree(child.pid)
            assert below[0] == child.pid
            assert len(below) == 2
            assert set(below) < set(processes.tree(os.getpid()))
        finally:
            os.killpg(child.pid, 9)


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (["python", "-m", "service.api", "--socket", "3"], "api"),
        (["python", "-X", "importtime", "-m", "service.device"], "device"),
        (["python", "-m", "service", "serve"], "supervisor"),
        (["/usr/bin/sluice", "serve", "--store", "service.api"], "supervisor"),
        ([""], "supervisor"),
    ],
)
def test_a_command_line_tells_what_a_process_does(arguments: list[str], role: str) -> None:
    assert processes.role_of(arguments) == role


def test_time_of_grandchildren_counts() -> None:
    before = processes.cpu_seconds_below(os.getpid())
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as child:
        try:
            give_up = time.monotonic() + 60
            while processes.cpu_seconds_below(os.getpid()) - before < 0.5 and time.monotonic() < give_up:
                time.sleep(0.05)
            assert 0.5 <= processes.cpu_seconds_below(os.getpid()) - before < 60
        finally:
            os.killpg(child.pid, 9)


def test_a_process_that_has_ended_counts_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert processes.cpu_seconds([child.pid]) == 0
    assert processes.memory([child.pid]) == (0, 0)


def test_pss_is_read_from_the_rollup() -> None:
    assert processes.pss_bytes(ROLLUP) == 700 * 1024
    with pytest.raises(ValueError, match="no Pss"):
        processes.pss_bytes("Rss: 1 kB\n")


def test_mappings_of_files_and_of_memory_are_told_apart() -> None:
    library, heap = processes.mappings(SMAPS)
    assert library == ("7f0000000000-7f0000100000", "08:01 4711 00001000", 15 * 1024, 102 * 1024)
    assert heap == ("7f0000200000-7f0000300000", "", 64 * 1024, 0)


def test_memory_counts_what_a_process_has_taken() -> None:
    command = [sys.executable, "-c", "import sys; block = b'1' * int(sys.argv[1]); print(); sys.stdin.read()"]
    found = []
    for size in (0, 64 * 2**20):
        with subprocess.Popen([*command, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            found.append(processes.memory([process.pid]))
            process.communicate()
    small, large = found
    assert large.pss - small.pss == pytest.approx(64 * 2**20, rel=0.1)
    assert large.whole - small.whole == pytest.approx(64 * 2**20, rel=0.1)


def test_the_whole_of_one_process_is_what_it_has_resident() -> None:
    own = [os.getpid()]
    found = processes.memory(own)
    assert 10**6 < found.pss <= found.whole
    assert found.whole == pytest.approx(processes.resident_bytes(own), rel=0.1)


def test_pages_that_two_processes_share_count_once() -> None:
    command = [sys.executable, "-c", "import numpy, sys; print(); sys.stdin.read()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
    ):
        for process in (one, other):
            assert process.stdout is not None
            process.stdout.readline()
        alone, both = processes.memory([one.pid]).whole, processes.memory([one.pid, other.pid]).whole
        resident = processes.resident_bytes([one.pid, other.pid])
        one.communicate()
        other.communicate()
    assert alone < both < 0.9 * resident
