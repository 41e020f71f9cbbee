"""Going on from the last state of a run: every rank from the same bytes, also after torchrun has started them again."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trainer.errors import RunStateError
from trainer.run.ranks import Ranks
from trainer.run.run_directory import RunDirectory
from trainer.run.state import FILE, TrainingState, launch_of


def resumed(
    state: TrainingState, experiment: Mapping[str, Any], directory: RunDirectory, resume: bool, ranks: Ranks
) -> bool:
    """Restore the last state of a run on every rank; False where there is none to go on from.

    The leading rank reads it and hands it to the others, so that all of them start at the same step. Without
    ``resume``, only a state that this launch of torchrun has written counts: a rank that died starts all of them
    again, with the same command line. Raises RunStateError or StoreError.
    """
    data: bytes | None = None
    if ranks.leads:
        own = launch()
        if resume:
            directory.bring()
        elif own is not None:
            with suppress(RunStateError):  # an older launch's, which is to be written over
                directory.bring()
        path = directory.path / FILE
        if path.exists() and (resume or (own is not None and launch_of(path) == own)):
            data = path.read_bytes() if ranks.count > 1 else b""
    found = ranks.spread(data)
    if found is None:
        return False
    if ranks.leads:
        state.restore(directory.path, experiment)
        return True
    with TemporaryDirectory(prefix="sluice-run-") as scratch:
        (Path(scratch) / FILE).write_bytes(found)
        state.restore(Path(scratch), experiment)
    return True


def launch() -> str | None:
    """What tells this launch of torchrun from others, and is the same after its restarts; None without torchrun."""
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    if run is None or run != "none":
        return run
    return f"{platform.node()} {os.getppid()}"  # without an id the agent is what stays
