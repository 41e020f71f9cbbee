"""The curve of a run on a terminal."""

import io
import math
import re

from rich.console import Console

from trainer.run.curve import HEIGHT, Curve


def learning(epochs: int) -> Curve:
    """A run whose likelihood climbs from -100 to 0 nats, validated after each epoch."""
    curve = Curve()
    for step in range(1, 20 * epochs + 1):
        curve.trained(step / 20, -100 * math.exp(-step / 20))
        if step % 20 == 0:
            curve.validated(step / 20, -100 * math.exp(-step / 20) - 1)
    return curve


def test_it_climbs_from_the_lower_left_to_the_upper_right() -> None:
    lines = learning(6).lines(80)
    assert len(lines) == HEIGHT + 2
    plot = [line.split("│")[1] for line in lines[:HEIGHT]]
    assert plot[0].rstrip()[-1] in "·●"
    first = [re.search("[·●]", line) for line in (plot[0], plot[-1])]
    assert first[0] is not None
    assert first[1] is not None
    assert first[0].start() > first[1].start()
    assert sum(line.count("●") for line in plot) >= 4
    assert "nats by epoch, to 6" in lines[-1]


def test_it_keeps_to_the_width_however_many_steps_there_were() -> None:
    curve = learning(300)
    assert len(curve.training) < 400
    for width in (20, 60, 200):
        lines = curve.lines(width)
        assert max(map(len, lines[:-1])) <= max(width, 24)


def test_the_first_steps_do_not_flatten_the_rest() -> None:
    curve = learning(6)
    curve.training.insert(0, (0.0, -1e9))
    assert "1,000,000" not in "".join(curve.lines(80))


def test_one_value_or_a_flat_run_is_shown_without_a_fault() -> None:
    curve = Curve()
    assert curve.lines(80) == []
    curve.trained(0.1, math.nan)
    assert curve.lines(80) == []
    curve.trained(0.1, 5.0)
    curve.validated(1, 5.0)
    assert len(curve.lines(80)) == HEIGHT + 2


def test_a_terminal_shows_it_in_marks_that_differ_without_colour() -> None:
    output = io.StringIO()
    Console(file=output, width=80, no_color=True).print(learning(3))
    assert "·" in output.getvalue()
    assert "●" in output.getvalue()
