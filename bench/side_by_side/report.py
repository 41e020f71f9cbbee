"""What the benchmark prints: Markdown tables, rows with a target and what was reached, and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch

_QUIET = 1.0
"""Load average above which other work must be running: preparing the benchmark's model stays below it."""


class Row(NamedTuple):
    """One line of the table of targets. ``holds`` is None where nothing could be measured."""

    work: str
    target: str
    reached: str
    holds: bool | None


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table, with its first column aligned to the left and the others to the right."""
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for line in lines:
        yield "| " + " | ".join(line) + " |"


def rows(found: Iterable[Row]) -> Iterator[str]:
    """The table of targets."""
    words = {True: "yes", False: "no", None: "not measured"}
    return table(
        ("work", "at least, or at most", "reached", "holds"),
        ((row.work, row.target, row.reached, words[row.holds]) for row in found),
    )


def machine() -> str:
    """One paragraph on the machine, the versions, and whether other work ran beside."""
    cores = len(os.sched_getaffinity(0))
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "fastapi", "uvicorn"))
    fast = " with AVX512-BF16" if "avx512_bf16" in _cpuinfo() else ""
    load = os.getloadavg()[0]
    quiet = "" if load <= _QUIET else " **Other work ran beside: the figures are provisional.**"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {_processor()}{fast}, {cores} cores, {_memory():.0f} GiB, "
        f"{platform.system()} {platform.release()}; Python {platform.python_version()}, {packages}, "
        f"threads of torch: {torch.get_num_threads()}, {_wrk()}. "
        f"Load of the machine just before: {load:.1f}.{quiet}"
    )


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8") if path.is_file() else ""


def _processor() -> str:
    names = (line.partition(":")[2].strip() for line in _cpuinfo().splitlines() if line.startswith("model name"))
    return next(names, platform.machine())


def _memory() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def _wrk() -> str:
    """wrk's version, which it prints with its usage before it ends with an error."""
    if shutil.which("wrk") is None:
        return "no wrk"
    usage = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split()
    return " ".join(usage[:2])
