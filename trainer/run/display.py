"""What a run shows: a live curve and a bar on a terminal, and one plain line for each epoch everywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bars

from flows import Flow, bits_per_dim
from trainer.presets import Preset
from trainer.run.curve import Curve
from trainer.run.state import EpochRecord, Progress, Validation


class Display(Protocol):
    """What the training loop reports to."""

    def initial_validated(self, initial: Validation) -> None: ...
    def epoch_begins(self, progress: Progress, steps: int) -> None: ...
    def step_done(self, progress: Progress) -> None: ...
    def epoch_done(self, record: EpochRecord) -> None: ...
    def stopped_early(self, progress: Progress, patience: int) -> None: ...


class Several:
    """A display that passes everything on to several others."""

    def __init__(self, displays: Sequence[Display]) -> None:
        self.displays = displays

    def initial_validated(self, initial: Validation) -> None:
        for display in self.displays:
            display.initial_validated(initial)

    def epoch_begins(self, progress: Progress, steps: int) -> None:
        for display in self.displays:
            display.epoch_begins(progress, steps)

    def step_done(self, progress: Progress) -> None:
        for display in self.displays:
            display.step_done(progress)

    def epoch_done(self, record: EpochRecord) -> None:
        for display in self.displays:
            display.epoch_done(record)

    def stopped_early(self, progress: Progress, patience: int) -> None:
        for display in self.displays:
            display.stopped_early(progress, patience)


_FIELDS = ("likelihood", "speed", "left", "skipped")


class Lines:
    """One line for each epoch, for logs and pipes."""

    def __init__(self, console: Console, flow: Flow, preset: Preset) -> None:
        self.console, self.flow = console, flow
        self.epochs, self.batch_size = preset.epochs, preset.batch_size
        self.budget = None if preset.minutes is None else 60 * preset.minutes
        self.steps, self.spent = 0, 0.0

    def initial_validated(self, initial: Validation) -> None:
        text = f"{self._epoch(initial.epoch)}  validation {self._likelihood(initial.validation)}  before the first step"
        self.console.print(text, highlight=False, soft_wrap=True)

    def epoch_begins(self, progress: Progress, steps: int) -> None:  # noqa: ARG002
        self.steps = steps

    def step_done(self, progress: Progress) -> None:
        self.spent = progress.spent

    def epoch_done(self, record: EpochRecord) -> None:
        left = (self.epochs - record.epoch) * record.seconds if self.budget is None else self.budget - self.spent
        parts = [
            self._epoch(record.epoch),
            f"train {self._likelihood(record.train)}",
            f"validation {self._likelihood(record.validation)}",
            f"{self.steps * self.batch_size / max(record.seconds, 1e-9):,.0f} items/s",
            f"{timedelta(seconds=max(0, round(left)))} left",
        ]
        if record.skipped:
            parts.append(_skipped(record.skipped))
        self.console.print("  ".join(parts), highlight=False, soft_wrap=True)

    def stopped_early(self, progress: Progress, patience: int) -> None:
        if progress.best is not None:
            kept = f"epoch {progress.best.epoch}" if progress.best.epoch else "the initial state"
            text = f"stopped early: no better validation in {patience} epochs, {kept} is kept"
            self.console.print(text, highlight=False, soft_wrap=True)

    def _epoch(self, number: int) -> str:
        return f"epoch {number}/{self.epochs}" if self.budget is None else f"epoch {number}"

    def _likelihood(self, nats: float) -> str:
        if not self.flow.is_image:
            return f"{nats:.4f} nats"
        return f"{nats:.1f} nats {bits_per_dim(nats, self.flow.dimensions):.3f} bits/dim"


class Live(Bars):
    """A curve of the run so far above a bar."""

    curve: Curve | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.curve is not None:
            yield self.curve
        yield from super().get_renderables()


class LiveBar(Lines):
    """The same lines, above a curve of the run and a bar that follows the current epoch."""

    def __init__(self, console: Console, flow: Flow, preset: Preset, bar: Live) -> None:
        super().__init__(console, flow, preset)
        self.bar = bar
        self.bar.curve = self.curve = Curve()
        self.sum, self.finite = 0.0, 0
        self.task = bar.add_task("", likelihood="", speed="", left="", skipped="")

    def initial_validated(self, initial: Validation) -> None:
        self.curve.validated(initial.epoch, initial.validation)
        super().initial_validated(initial)

    def epoch_begins(self, progress: Progress, steps: int) -> None:
        super().epoch_begins(progress, steps)
        if not self.curve.validation:  # a run that is continued
            if progress.initial:
                self.curve.validated(0, progress.initial.validation)
            for record in progress.history:
                self.curve.trained(record.epoch - 0.5, record.train)
                self.curve.validated(record.epoch, record.validation)
        self.sum, self.finite = progress.log_likelihood_sum, progress.step - progress.skipped
        self.bar.update(self.task, description=self._epoch(progress.epoch + 1), total=steps, completed=progress.step)

    def step_done(self, progress: Progress) -> None:
        super().step_done(progress)
        finite = progress.step - progress.skipped
        if finite > self.finite:
            mean = (progress.log_likelihood_sum - self.sum) / (finite - self.finite)
            self.curve.trained(progress.epoch + progress.step / max(1, self.steps), mean)
        self.sum, self.finite = progress.log_likelihood_sum, finite
        seconds_a_step = progress.seconds / progress.step
        left = ((self.epochs - progress.epoch) * self.steps - progress.step) * seconds_a_step
        if self.budget is not None:
            left = self.budget - progress.spent
        self.bar.update(
            self.task,
            completed=progress.step,
            likelihood=self._likelihood(progress.log_likelihood_sum / finite) if finite else "",
            speed=f"{self.batch_size / seconds_a_step:,.0f} items/s",
            left=f"{timedelta(seconds=max(0, round(left)))} left",
            skipped=_skipped(progress.skipped) if progress.skipped else "",
        )

    def epoch_done(self, record: EpochRecord) -> None:
        self.curve.validated(record.epoch, record.validation)
        super().epoch_done(record)


def _skipped(steps: int) -> str:
    return f"{steps} non-finite steps skipped"


@contextmanager
def display_on(console: Console, flow: Flow, preset: Preset) -> Iterator[Display]:
    """A display on a console: a live curve and a bar on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console, flow, preset)
        return
    fields = [TextColumn(f"{{task.fields[{name}]}}") for name in _FIELDS]
    with Live(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *fields, console=console) as bar:
        yield LiveBar(console, flow, preset, bar)
