"""Child processes that never outlive the benchmark, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_LAUNCHER = Path(__file__).with_name("launch.py")


def start(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    groups: Sequence[Path] = (),
    end_signal: signal.Signals = signal.SIGTERM,
    errors: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; Linux sends it ``end_signal`` when the calling thread ends.

    ``groups`` are the directories of control groups that it joins before it begins. Its standard error goes to
    ``errors``, without which it is discarded like its standard output.
    """
    launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(end_signal.value)]
    return subprocess.Popen(
        [*launch, *map(str, groups), "--", *map(str, command)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors or subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes], patience: float) -> bool:
    """Ask a process that ``start`` made to end, wait ``patience`` seconds, and kill what is left of its session.

    Returns whether it ended when it was asked to. The process is asked before its children, since it may have some in
    sessions of their own that only it can end.
    """
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    ended = process.returncode is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return ended


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the calling program by SystemExit, so that everything it started is stopped."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
