"""TensorBoard events of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flows import Flow, bits_per_dim
from trainer.errors import missing_extra
from trainer.presets import Preset
from trainer.run.display import Display
from trainer.run.state import EpochRecord, Progress, Validation

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Events:
    """A display that writes scalars against the number of steps since the run began.

    Likelihoods are in nats per item and, for images, also in bits per dimension.
    """

    def __init__(self, writer: SummaryWriter, flow: Flow, preset: Preset) -> None:
        self.writer, self.flow, self.preset = writer, flow, preset
        self.steps = 0
        self.sum, self.finite = 0.0, 0

    def initial_validated(self, initial: Validation) -> None:
        self._epoch_nats("validation", initial.validation, 0)
        self.writer.flush()

    def epoch_begins(self, progress: Progress, steps: int) -> None:
        self.steps = steps
        self.sum, self.finite = progress.log_likelihood_sum, progress.step - progress.skipped

    def step_done(self, progress: Progress) -> None:
        step, finite = progress.epoch * self.steps + progress.step, progress.step - progress.skipped
        self.writer.add_scalar("step/learning rate", progress.rate, step)
        self.writer.add_scalar("step/skipped in a row", progress.skipped_in_a_row, step)
        if finite > self.finite:
            mean = (progress.log_likelihood_sum - self.sum) / (finite - self.finite)
            self.writer.add_scalar("step/training nats", mean, step)
        self.sum, self.finite = progress.log_likelihood_sum, finite

    def epoch_done(self, record: EpochRecord) -> None:
        step = record.epoch * self.steps
        self._epoch_nats("training", record.train, step)
        self._epoch_nats("validation", record.validation, step)
        self.writer.add_scalar("epoch/items per second", self.steps * self.preset.batch_size / record.seconds, step)
        self.writer.add_scalar("epoch/skipped steps", record.skipped, step)
        self.writer.flush()

    def stopped_early(self, progress: Progress, patience: int) -> None:
        """The curves show where they end."""

    def _epoch_nats(self, split: str, nats: float, step: int) -> None:
        self.writer.add_scalar(f"epoch/{split} nats", nats, step)
        if self.flow.is_image:
            self.writer.add_scalar(f"epoch/{split} bits per dim", bits_per_dim(nats, self.flow.dimensions), step)


@contextmanager
def events_in(directory: Path, flow: Flow, preset: Preset, first_step: int) -> Iterator[Display]:
    """A display that writes events into a directory. Earlier events of ``first_step`` and later steps are hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise missing_extra("to write events", "tensorboard", "tensorboard") from error
    writer = SummaryWriter(directory, purge_step=first_step)
    try:
        yield Events(writer, flow, preset)
    finally:
        writer.close()
