"""Starting child processes, and making sure that none outlives its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import service

PARENT = "SLUICE_PARENT"
"""The variable in which a child process finds the id of the process that started it."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """From now on this process gets SIGKILL when its parent dies, however that happens. Linux only.

    Call it before slow imports: a parent that died before the call is seen in ``PARENT``.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if PARENT in os.environ and os.getppid() != int(os.environ[PARENT]):
        os._exit(1)


def importing(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a child process finds the packages that this process runs."""
    root = str(Path(service.__file__).parents[1])
    paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}
