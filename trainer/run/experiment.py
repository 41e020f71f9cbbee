"""One run from its preset to its best weights: data, a fresh or a resumed state, training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from time import perf_counter

from rich.console import Console

from trainer import data
from trainer.data import Splits
from trainer.errors import TrainerError
from trainer.presets import Preset
from trainer.run.averaging import average_with_start
from trainer.run.display import Display, Several, display_on
from trainer.run.events import events_in
from trainer.run.finished import FinishedRun
from trainer.run.hooks import Hooks
from trainer.run.initial_state import arguments_for, fresh_state
from trainer.run.loop import train
from trainer.run.ranks import Ranks
from trainer.run.resuming import launch, resumed
from trainer.run.sample_picture import sample_picture
from trainer.run.settings import RunSettings
from trainer.run.state import FILE, TrainingState


def run(
    preset: Preset, settings: RunSettings, ranks: Ranks, console: Console, stop_requested: Callable[[], bool]
) -> FinishedRun | None:
    """Train a preset, or continue its training where the settings say so. None when stopped before the end.

    A preset's budget of time counts from this call. Raises DataError, RunStateError or Diverged, or TrainerError when
    the ranks cannot share a batch evenly or do not know each other's time.
    """
    began = perf_counter()
    splits = data.load(preset.data, settings.data_dir, seed=settings.seed, limit=settings.limit)
    experiment = {
        **asdict(replace(preset, smoke=None)),
        "data": [preset.data.name, splits.digest()],
        "seed": settings.seed,
        "limit": settings.limit,
        "precision": settings.computing.precision,
        "start": settings.start and settings.start.digest,
    }
    del experiment["halved"]  # says how weights are published, and nothing of the training
    if preset.decay_share is not None:  # such a run may be resumed with another length
        del experiment["epochs"], experiment["minutes"]
    if settings.start is not None:
        settings.start.fits(preset.architecture, splits.item_shape, arguments_for(preset, splits))
    ranks.check(preset.batch_size)
    if preset.minutes is not None and ranks.count > 1:
        raise TrainerError("a budget of minutes is for one rank; several ranks train a number of --epochs")
    directory = settings.run_dir
    # One rank reads the file that lies here; several may find none where the leading rank does, or an older one.
    resumes = settings.resume and ranks.count == 1 and (directory.path / FILE).exists()
    initialise = not resumes and settings.start is None
    state = fresh_state(preset, splits, settings.seed, ranks.device, initialise=initialise)
    if settings.start is not None:
        settings.start.give_to(state)
    if resumed(state, experiment, directory, settings.resume, ranks):
        reached = f"epoch {state.progress.epoch}, step {state.progress.step}"
        console.print(f"resuming {directory} after {reached}", markup=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def save() -> None:
        if ranks.leads:
            state.save(directory.path, experiment, launch())
            if trouble := directory.keep():
                say(trouble)

    steps_done = state.progress.epoch * preset.steps_of(len(splits.train)) + state.progress.step
    with _displays(preset, settings, state, splits, steps_done, console, ranks) as display:
        hooks = Hooks(
            save=save,
            say=say,
            display=display,
            stop_requested=stop_requested,
        )
        ended = train(
            state,
            splits,
            preset,
            seed=settings.seed,
            computing=settings.computing,
            ranks=ranks,
            hooks=hooks,
            began=began,
            validations_afterwards=int(settings.start is not None),
        )
    if ranks.leads:
        directory.settle()
    if not ended:
        return None
    history = state.progress.history
    best = (state.progress.best if preset.keep_best else None) or history[-1]
    mean = None
    if settings.start is not None and preset.keep_best:
        mean = average_with_start(state, settings.start, splits.validation, ranks, say)
    if mean is None:
        state.flow.load_state_dict(state.best)
    return FinishedRun(state.flow, preset, settings, splits, history, best, state.progress.initial, mean)


@contextmanager
def _displays(
    preset: Preset,
    settings: RunSettings,
    state: TrainingState,
    splits: Splits,
    steps_done: int,
    console: Console,
    ranks: Ranks,
) -> Iterator[Display]:
    """The display on the console, a picture of samples and, where the settings ask for it, events for TensorBoard."""
    with ExitStack() as opened:
        displays = [opened.enter_context(display_on(console, state.flow, preset))]
        if ranks.leads and (picture := sample_picture(settings, state, splits)):
            displays.append(picture)
        if settings.tensorboard and ranks.leads:
            first = steps_done + 1 if steps_done else 0  # before its first step a run tells of its initial state
            events = events_in(settings.run_dir.path / "events", state.flow, preset, first)
            displays.append(opened.enter_context(events))
        yield Several(displays)
