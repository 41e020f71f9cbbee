"""Which GPUs there are, found without importing torch into this process: it would stay in memory for good."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from service.processes import importing

_PATIENCE = 120.0
"""Seconds that the first look at the GPUs may take: drivers that are not kept loaded take long on many GPUs."""


@dataclass(frozen=True)
class Gpus:
    """The GPUs that PyTorch can use, ``names`` in the order of their numbers, or the ``reason`` why there are none.

    As text: what the machine has to compute on.
    """

    names: tuple[str, ...] = ()
    reason: str = ""

    @property
    def places(self) -> tuple[str, ...]:
        """`cuda:0`, `cuda:1` …"""
        return tuple(f"cuda:{index}" for index in range(len(self.names)))

    def __str__(self) -> str:
        each = [f"{place} ({name})" for place, name in zip(self.places, self.names, strict=True)]
        return ", ".join([*each, "cpu"])


def find_gpus() -> Gpus:
    """Look at PyTorch's build and for a driver first, which takes no time, and only then ask PyTorch."""
    reason = _without_asking()
    return Gpus(reason=reason) if reason else _asked()


def _without_asking() -> str | None:
    """Why there cannot be a GPU; None where PyTorch has to be asked."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return "PyTorch is not installed"
    try:
        said = dict(re.findall(r"(?m)^(__version__|cuda|hip)\b[^=\n]*= (.*)$", _version_file(spec.origin)))
    except OSError:
        return None
    if said.get("hip", "None") != "None":
        return None
    if said.get("cuda") == "None":
        version = said.get("__version__", "").strip("'")
        return f"this build of PyTorch ({version}) computes on the CPU alone"
    if sys.platform == "linux" and not _has_driver():
        return "no NVIDIA driver is there (libcuda.so.1)"
    return None


def _version_file(origin: str) -> str:
    return Path(origin).with_name("version.py").read_text("utf-8")


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _asked() -> Gpus:
    command = [sys.executable, "-m", "service.device.list_gpus"]
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter and a module of ours)
            command, env=importing(os.environ), capture_output=True, text=True, timeout=_PATIENCE
        )
        found = json.loads(done.stdout)
        return Gpus(tuple(found["names"]), found["reason"])
    except subprocess.TimeoutExpired:
        return Gpus(reason=f"the GPUs did not answer within {_PATIENCE:.0f} seconds")
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        return Gpus(reason=f"PyTorch could not be asked for its GPUs: {last or f'exit code {done.returncode}'}")
