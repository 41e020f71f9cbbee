"""The two displays: a bar on a terminal, lines elsewhere."""

import io

import pytest
from rich.console import Console

from flows import nice
from trainer.presets import PRESETS
from trainer.run.display import display_on
from trainer.run.state import EpochRecord, Progress

RECORD = EpochRecord(epoch=3, train=1700.04, validation=1650.06, seconds=10.0, skipped=1)


@pytest.mark.parametrize("terminal", [True, False])
def test_an_epoch_shows_nats_bits_speed_and_time_left(terminal: bool) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=200)
    flow = nice((28, 28), couplings=1, hidden=[4])
    with display_on(console, flow, PRESETS["mnist-nice"]) as display:
        display.epoch_begins(Progress(epoch=2), steps=270)
        display.step_done(Progress(epoch=2, step=27, seconds=1.0, log_likelihood_sum=27 * 1690.0))
        display.epoch_done(RECORD)
    shown = output.getvalue()
    for words in ("epoch 3/12", "1700.0 nats", "1650.1 nats 4.964 bits/dim", "5,400 items/s", "0:01:30 left"):
        assert words in shown
    assert "1 non-finite steps skipped" in shown
    assert ("\x1b[" in shown) == terminal


def test_the_bar_follows_the_current_step() -> None:
    output = io.StringIO()
    flow = nice((28, 28), couplings=1, hidden=[4])
    with display_on(Console(file=output, force_terminal=True, width=200), flow, PRESETS["mnist-nice"]) as display:
        display.epoch_begins(Progress(epoch=11), steps=270)
        display.step_done(Progress(epoch=11, step=27, seconds=2.0, log_likelihood_sum=27 * 1690.0))
    assert "1690.0 nats" in output.getvalue()
    assert "2,700 items/s" in output.getvalue()
    assert "0:00:18 left" in output.getvalue()
    assert "skipped" not in output.getvalue()


def test_the_bar_shows_skipped_steps_at_once() -> None:
    output = io.StringIO()
    flow = nice((28, 28), couplings=1, hidden=[4])
    with display_on(Console(file=output, force_terminal=True, width=200), flow, PRESETS["mnist-nice"]) as display:
        display.epoch_begins(Progress(), steps=270)
        display.step_done(Progress(step=27, seconds=2.0, log_likelihood_sum=0.0, skipped=3))
    assert "3 non-finite steps skipped" in output.getvalue()
