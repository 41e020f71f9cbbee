"""Runs of the fuzzer: how many inputs it tried, and what it found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.service.servers import ROOT

CORPUS = Path(__file__).with_name("corpus")
"""Inputs that reach every part of a parser that was ever reached, a folder for each target."""
LARGEST = 2**13
"""Bytes of an input."""
_SLOWEST = 10
"""Seconds after which an input counts as one that hangs."""
_MOST_MEMORY = 1024
"""MiB of the process after which memory counts as growing."""


@dataclass
class Run:
    """What one run did. ``found`` is the end of its report where an input was answered wrongly; else empty."""

    inputs: int
    memory: int
    """MiB at its height."""
    found: str


def fuzz(target: str, seconds: float, work: Path) -> Run:
    """Fuzz a target. New inputs that reach something new, and those that find a fault, go to ``work``."""
    work.mkdir(parents=True, exist_ok=True)
    done = _started(
        target,
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={LARGEST}",
        f"-timeout={_SLOWEST}",
        f"-rss_limit_mb={_MOST_MEMORY}",
        f"-artifact_prefix={work}/found-",
        "-print_final_stats=1",
        str(work),
        str(CORPUS / target),
    )

    def figure(name: str) -> int:
        found = re.search(rf"{name}:\s*(\d+)", done.stderr)
        return int(found[1]) if found else 0

    said = (done.stdout + done.stderr)[-3000:] if done.returncode else ""
    return Run(figure("number_of_executed_units"), figure("peak_rss_mb"), said)


def keep(target: str, work: Path) -> int:
    """Take those inputs of a run into the corpus that reach something new. How many it holds then."""
    for found in work.glob("found-*"):
        shutil.move(found, work.parent / f"{target}-{found.name}")
    _started(target, "-merge=1", f"-max_len={LARGEST}", str(CORPUS / target), str(work))
    return len(list((CORPUS / target).iterdir()))


def _started(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.reliability.fuzz.one", target, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        errors="replace",
    )
