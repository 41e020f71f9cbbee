"""Processes that a benchmark starts end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import children

REPOSITORY = Path(__file__).parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(600)"
)
PARENT = """
import sys, time
from bench import children
child = children.start([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
if sys.argv[1] == "signals":
    children.end_on_signals()
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        children.stop(child, 10)
        print("stopped", flush=True)
print("ready", flush=True)
time.sleep(600)
"""


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_the_end(process: int) -> None:
    give_up = time.monotonic() + 30
    while is_running(process):
        assert time.monotonic() < give_up, "the child outlived its parent"
        time.sleep(0.02)


def test_stop_ends_a_process_that_ends_when_asked() -> None:
    process = children.start(SLEEP)
    assert children.stop(process, 30)
    assert process.returncode == -signal.SIGTERM


def test_stop_kills_a_process_that_does_not(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    process = children.start([sys.executable, "-c", STUBBORN, begun])
    while not begun.exists():
        time.sleep(0.02)
    assert not children.stop(process, 0.1)
    assert process.returncode == -signal.SIGKILL


def test_errors_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("w+b") as errors:
        process = children.start([sys.executable, "-c", "raise SystemExit('no such luck')"], errors=errors)
        assert process.wait(30) == 1
        errors.seek(0)
        assert errors.read() == b"no such luck\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the children of a parent that was killed")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, "none"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.stdout.readline()
        # The child is told only once it has replaced the launcher or asked for the signal.
        while b"sleep" not in Path(f"/proc/{child}/cmdline").read_bytes().partition(b"launch.py")[0]:
            time.sleep(0.02)
        parent.kill()
        wait_for_the_end(child)


def test_a_signal_to_the_parent_lets_it_stop_its_children() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, "signals"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "ready\n"
        parent.send_signal(signal.SIGTERM)
        assert parent.stdout.readline() == "stopped\n"
        assert parent.wait(30) == 128 + signal.SIGTERM
        assert not is_running(child)


def test_a_child_has_a_session_of_its_own() -> None:
    process = children.start(SLEEP)
    try:
        assert os.getsid(process.pid) == process.pid
    finally:
        children.stop(process, 30)
