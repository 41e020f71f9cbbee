"""What one run adds to its preset: places, seed, precision, and whether an earlier run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from trainer.presets import Precision
from trainer.run.run_directory import RunDirectory
from trainer.run.start import Start


@dataclass(frozen=True, kw_only=True)
class Computing:
    """How steps are computed. It changes their speed, and results only by rounding."""

    precision: Precision = "float32"
    """What nets multiply in on this machine; not ``auto``."""
    graph: bool = True
    """Whether a step on CUDA is recorded as a graph."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of one run that its preset does not contain."""

    run_dir: RunDirectory
    """Where the run's state is kept."""
    data_dir: Path | None = None
    """The user's folder with the original files of data sets."""
    seed: int = 0
    limit: int | None = None
    """How many training items and test items are used at most."""
    computing: Computing = field(default_factory=Computing)
    resume: bool = True
    """Whether to continue from a state in ``run_dir``."""
    start: Start | None = None
    """The published flow whose weights a fresh run starts from; None for random ones."""
    tensorboard: bool = False
    """Whether to write the run's curves for TensorBoard into ``run_dir``."""
    command: str = ""
    """The command that repeats the run, without the user's own paths."""
