"""A picture of what the flow has learnt so far, written beside the state of a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from flows import FlowError
from trainer.data import Splits
from trainer.run.settings import RunSettings
from trainer.run.state import EpochRecord, Progress, TrainingState, Validation

SHARE = 0.05
"""The share of a run's time that its pictures may take. Drawing from a flow can be slower than an epoch of training."""


class SamplePicture:
    """A display that draws after the first epoch, and after later ones as often as their time allows."""

    def __init__(self, path: Path, draw: Callable[[], bytes]) -> None:
        self.path, self.draw = path, draw
        self.began, self.taken = perf_counter(), 0.0

    def initial_validated(self, initial: Validation) -> None:
        """Nothing has been learnt yet."""

    def epoch_begins(self, progress: Progress, steps: int) -> None:
        """Nothing has been learnt since the last picture."""

    def step_done(self, progress: Progress) -> None:
        """A picture a step would be too many."""

    def epoch_done(self, record: EpochRecord) -> None:  # noqa: ARG002
        start = perf_counter()
        if self.taken > SHARE * (start - self.began):
            return
        try:
            drawn = self.draw()
        except (FlowError, RuntimeError, ValueError):  # such as too little memory: no reason to end the run
            self.taken += perf_counter() - start
            return
        part = self.path.with_suffix(".part")
        part.write_bytes(drawn)
        os.replace(part, self.path)  # a viewer that reloads it never sees half of it
        self.taken += perf_counter() - start

    def stopped_early(self, progress: Progress, patience: int) -> None:
        """The last picture stays."""


def sample_picture(settings: RunSettings, state: TrainingState, splits: Splits) -> SamplePicture | None:
    """Of pictures a grid of samples, of points their density beside the data; None of other vectors."""
    from trainer.report import pictures  # matplotlib takes a second

    flow = state.evaluated
    if flow.is_image:
        return SamplePicture(settings.run_dir.path / "samples.png", lambda: pictures.samples(flow, settings.seed, 1.0))
    if flow.dimensions != 2 or splits.schema is not None:
        return None
    return SamplePicture(settings.run_dir.path / "density.png", lambda: pictures.density(flow, splits.validation))
